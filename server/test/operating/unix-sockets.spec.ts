/**
 * Proves that the server serves on a Unix socket, behind nginx and with workers, with the permissions that are set; that
 * it replaces the socket of a server that was killed and never that of one that runs; and that it reaches each database
 * by its socket.
 */
import { once } from 'node:events';
import { lstatSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json as readJson } from 'node:stream/consumers';
import { databases, type TestDatabase } from '../../../test/support/databases.js';
import { withPostgres } from '../../../test/support/server-kinds.mjs';
import { command } from '../cli/run-command.js';
import { freePort, type Running, serverProgram, startProxy } from '../proxy/processes.js';
import { build, ServerProcess } from './server-process.js';
import mysql from 'mysql2/promise';

const nginx = serverProgram('nginx', 'nginx-light');
const API = '/_matrix/client/v3/room_keys';
const TOKEN = { Authorization: 'Bearer secret' };
const BACKUP = JSON.stringify({
  algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2',
  auth_data: { public_key: 'abc' },
});

/** A request on a socket, which `fetch` cannot make. */
async function get(socketPath: string, path: string): Promise<{ status?: number; body: unknown }> {
  const sent = request({ socketPath, path, headers: TOKEN }).end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return { status: response.statusCode!, body: await readJson(response) };
}

let folder: string;
let socket: string;
let servers: ServerProcess[];

beforeAll(build);
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'room-keys-socket-'));
  await chmod(folder, 0o755);
  socket = join(folder, 'api.sock');
  servers = [];
});
afterEach(async () => {
  await Promise.all(servers.map((server) => server.stop('SIGKILL')));
  await rm(folder, { recursive: true, force: true });
});

function start(variables: Record<string, string> = {}): ServerProcess {
  const server = new ServerProcess({
    DATABASE_URL: `sqlite:${join(folder, 'keys.db')}`,
    HOST: socket,
    DEV_TOKENS: 'secret=@alice:hs1',
    ...variables,
  });
  servers.push(server);
  return server;
}

describe('a server on a Unix socket', () => {
  it('serves its owner and group, and removes the socket when it stops', async () => {
    const server = start();
    expect(await server.serving()).toMatchObject({ url: `http://unix:${socket}:` });
    expect(lstatSync(socket).mode & 0o777).toBe(0o660);
    expect(await get(socket, `${API}/version`)).toMatchObject({
      status: 404,
      body: { errcode: 'M_NOT_FOUND' },
    });
    expect(await server.stop()).toBe(0);
    expect(() => lstatSync(socket)).toThrow('ENOENT');
  });

  it('replaces the socket of a server that was killed, not that of one that runs', async () => {
    const killed = start();
    await killed.serving();
    await killed.stop('SIGKILL');
    expect(lstatSync(socket).isSocket()).toBe(true);
    const running = start();
    await running.serving();
    const refused = start();
    const { message } = await refused.line(({ level }) => level === 'fatal');
    expect(message).toBe(
      `Another server listens on the socket ${socket}. Stop it, or set another path in HOST.`,
    );
    expect((await get(socket, '/health/live')).status).toBe(200);
  });

  it('touches no file that is not a socket', async () => {
    await writeFile(socket, 'precious');
    const { message } = await start().line(({ level }) => level === 'fatal');
    expect(message).toBe(
      `HOST ${socket} exists and is not a socket. Remove it, or set another path.`,
    );
    expect(lstatSync(socket).size).toBe(8);
  });

  it('names the socket that it cannot create', async () => {
    const { message } = await start({ HOST: join(folder, 'nowhere/api.sock') }).line(
      ({ level }) => level === 'fatal',
    );
    expect(message).toMatch(
      /^The socket \S+\/nowhere\/api\.sock cannot be created \(EACCES\)\. Check /,
    );
  });
});

(nginx === undefined ? describe.skip : describe)('behind nginx, on a Unix socket', () => {
  let proxy: Running | undefined;
  afterEach(() => proxy?.stop());

  it('a server stores a backup and returns it', async () => {
    // nginx's workers are another user
    await start({ SOCKET_MODE: '0666' }).serving();
    const port = await freePort();
    await mkdir(join(folder, 'temp'));
    await writeFile(
      join(folder, 'nginx.conf'),
      `daemon off; pid nginx.pid; error_log stderr; events {}
       http { access_log off; client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp;
         uwsgi_temp_path temp; scgi_temp_path temp;
         server { listen 127.0.0.1:${port};
           location /_matrix/client/v3/room_keys/ { proxy_pass http://unix:${socket}; } } }`,
    );
    const parameters = ['-p', folder, '-e', 'stderr', '-c', join(folder, 'nginx.conf')];
    proxy = await startProxy(nginx!, parameters, `127.0.0.1:${port}`);
    const url = `${proxy.url}${API}/version`;
    const created = await fetch(url, { method: 'POST', body: BACKUP, headers: TOKEN });
    expect(await created.json()).toEqual({ version: '1' });
    const read = await fetch(url, { headers: TOKEN });
    expect(await read.json()).toMatchObject({ version: '1', auth_data: { public_key: 'abc' } });
  });
});

/** The same database, by the socket of its server; undefined where that is not on this machine. */
async function bySocket(url: string): Promise<string | undefined> {
  const found = new URL(url);
  if (url.startsWith('postgres')) {
    const { rows } = await withPostgres(url, (client) =>
      client.query<{ unix_socket_directories: string }>('SHOW unix_socket_directories'),
    );
    const [directory = ''] = rows[0]?.unix_socket_directories.split(',') ?? [];
    if (!(await answers(`${directory}/.s.PGSQL.${found.port || '5432'}`))) return undefined;
    return `postgres://${found.username}:${found.password}@${found.pathname}?host=${directory}&port=${found.port || '5432'}`;
  }
  const connection = await mysql.createConnection(url);
  try {
    const [rows] = await connection.query('SELECT @@socket AS path');
    const [{ path } = { path: '' }] = rows as { path: string }[];
    if (!(await answers(path))) return undefined;
    // who may come by the port is not always who may come by the socket
    await connection.query(
      "CREATE USER IF NOT EXISTS room_keys_socket@localhost IDENTIFIED BY 'by socket'",
    );
    await connection.query(
      `GRANT ALL ON \`${found.pathname.slice(1)}\`.* TO room_keys_socket@localhost`,
    );
    found.username = 'room_keys_socket';
    found.password = 'by socket';
    found.hostname = 'localhost';
    found.port = '';
    found.searchParams.set('socketPath', path);
    return found.href;
  } finally {
    await connection.end();
  }
}

const answers = (path: string) =>
  new Promise<boolean>((resolve) => {
    const client = connect(path, () => {
      client.destroy();
      resolve(true);
    }).once('error', () => resolve(false));
  });

describe.each(databases.filter(({ name }) => name !== 'SQLite'))('$name', ({ name, create }) => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await create();
  });
  afterEach(() => database.drop());

  it('is reached by its socket, by workers that share one themselves', async () => {
    const url = await bySocket(database.url);
    if (url === undefined) {
      process.stderr.write(`${name} by its socket is left out: its server is elsewhere.\n`);
      return;
    }
    const migrated = await command(['migrate'], { DATABASE_URL: url });
    expect(migrated).toMatchObject({ code: 0, err: '' });
    const server = start({ DATABASE_URL: url, WORKERS: '2', SOCKET_MODE: '0600' });
    await server.serving();
    expect(lstatSync(socket).mode & 0o777).toBe(0o600);
    expect((await get(socket, `${API}/version`)).status).toBe(404);
    expect((await get(socket, '/health/ready')).status).toBe(200);
    expect(await server.stop()).toBe(0);
    expect(() => lstatSync(socket)).toThrow('ENOENT');
  });

  it('is named by its socket where nothing answers on it', async () => {
    const gone = join(folder, name === 'PostgreSQL' ? '.s.PGSQL.5432' : 'gone.sock');
    const listener = createServer().listen(gone);
    listener.close();
    const url =
      name === 'PostgreSQL'
        ? `postgres://u@/d?host=${folder}`
        : `${database.url.split(':')[0]}://u@localhost/d?socketPath=${gone}`;
    const { code, err } = await command(['stats'], { DATABASE_URL: url });
    expect(code).toBe(1);
    expect(err).toMatch(/^No database answers on the socket \S+ \(E\w+\)\. Start it, /);
  });
});
