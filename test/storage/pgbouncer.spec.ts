/**
 * Proves that PostgreSQL behind pgBouncer in transaction mode keeps all promises, although each transaction may have
 * another connection of few; that nothing of ours stays in those connections; and that statement mode is refused.
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { DataSource } from 'typeorm';
import {
  prepareDataSource,
  roomKeysEntities,
  roomKeysMigrations,
  runMigrations,
} from '../../src/index.js';
import {
  freePort,
  type Running,
  serverProgram,
  startDaemon,
} from '../../server/test/proxy/processes.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase, withOptions } from '../support/databases.js';
import { keyData, roomsBody } from '../support/matrix-client.js';
import { withPostgres } from '../support/server-kinds.mjs';
import { ALL, expectAllPromises } from './tricky-keys.js';

const postgres = databases.find(({ name }) => name === 'PostgreSQL');
const program = postgres && serverProgram('pgbouncer', 'pgbouncer');

/** What pgBouncer has of PostgreSQL; a host has more. */
const CONNECTIONS = 2;

(program ? describe : describe.skip)('PostgreSQL behind pgBouncer', () => {
  let folder: string;
  let database: TestDatabase;
  /** The same through pgBouncer. */
  let pooled: TestDatabase;
  let bouncer: Running | undefined;
  let application: TestApplication | undefined;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'room-keys-pgbouncer-'));
    // it gives up root, and then reads its settings
    chmodSync(folder, 0o755);
    database = await postgres!.create();
  });
  afterEach(async () => {
    await application?.close();
    application = undefined;
    await bouncer?.stop();
    bouncer = undefined;
    await database.drop();
    rmSync(folder, { recursive: true, force: true });
  });

  const startBouncer = async (poolMode: 'transaction' | 'statement') => {
    const port = await freePort();
    const { hostname, port: serverPort, username, password, pathname } = new URL(database.url);
    const settings = join(folder, 'pgbouncer.ini');
    const server = {
      host: hostname,
      port: serverPort || '5432',
      dbname: pathname.slice(1),
      user: decodeURIComponent(username),
      password: decodeURIComponent(password),
    };
    const connection = Object.entries(server)
      .filter(([, value]) => value !== '')
      .map(([name, value]) => `${name}='${value.replaceAll("'", "''")}'`);
    writeFileSync(
      settings,
      `[databases]
keys = ${connection.join(' ')}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = ${poolMode}
default_pool_size = ${CONNECTIONS}
`,
    );
    const asAnother = userInfo().uid === 0 ? ['-u', 'nobody'] : [];
    const url = `postgres://anybody@127.0.0.1:${port}/keys`;
    bouncer = await startDaemon(program!, [...asAnother, settings], url, async () => {
      await withPostgres(url, (client) => client.query('SELECT 1'));
    });
    pooled = { ...withOptions(database, { url }), url };
  };

  /** A DataSource of many connections, as a server has it. */
  const open = () =>
    new DataSource({
      ...pooled.dataSourceOptions,
      entities: roomKeysEntities('postgres'),
      migrations: roomKeysMigrations,
      poolSize: 10,
    } as ConstructorParameters<typeof DataSource>[0]).initialize();

  it('has migrations run once when four servers start at once, and leaves no lock', async () => {
    await startBouncer('transaction');
    const servers = await Promise.all([open(), open(), open(), open()]);
    const ran = await Promise.all(servers.map(runMigrations));
    expect(ran.flat()).toEqual(roomKeysMigrations.map(({ name }) => name));
    const [row] = await servers[0].query<{ locks: string }[]>(
      "SELECT COUNT(*) AS locks FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    expect(Number(row?.locks)).toBe(0);
    await Promise.all(servers.map((server) => server.destroy()));
  });

  it('keeps all promises', async () => {
    await startBouncer('transaction');
    application = await startApplication(pooled);
    await expectAllPromises(pooled, application.client('alice'));
  });

  it('serves many users at once on few connections, and leaves nothing in these', async () => {
    await startBouncer('transaction');
    application = await startApplication(withOptions(pooled, { poolSize: 10 }));
    const sessionsBefore = await settingsOfEach(pooled.url);
    const rooms = (user: number) =>
      Array.from(
        { length: 150 },
        (_, n) => [`!r${n % 7}:hs1`, `s${user}.${n}`, keyData()] as const,
      );
    const users = Array.from({ length: 20 }, (_, n) => n);
    await Promise.all(
      users.map(async (n) => {
        const user = application!.client(`user${n}`);
        await user.createBackup();
        for (const part of [rooms(n).slice(0, 100), rooms(n).slice(50), rooms(n)])
          expect((await user.put(ALL, roomsBody(part))).status).toBe(200);
        expect((await user.get(ALL)).body).toEqual(roomsBody(rooms(n)));
      }),
    );
    expect(await settingsOfEach(pooled.url)).toEqual(sessionsBefore);
  });

  it('is refused in statement mode, with a sentence', async () => {
    await startBouncer('statement');
    const dataSource = await open();
    await expect(prepareDataSource(dataSource)).rejects.toThrow(
      /^RoomKeysModule: the pooler in front of PostgreSQL does not allow transactions. Set pool_mode=transaction /,
    );
    await dataSource.destroy();
  });
});

/** What is set in each of the connections that pgBouncer has: in as many transactions at once. */
async function settingsOfEach(url: string): Promise<unknown[]> {
  const clients = Array.from({ length: CONNECTIONS }, () => new pg.Client(url));
  const settings: unknown[] = [];
  for (const client of clients) {
    await client.connect();
    await client.query('BEGIN');
    const { rows } = await client.query(
      'SELECT name, setting FROM pg_settings WHERE context IN ($1, $2) ORDER BY name',
      ['user', 'superuser'],
    );
    settings.push(rows);
  }
  for (const client of clients) {
    await client.query('ROLLBACK');
    await client.end();
  }
  return settings;
}
