/**
 * Proves the steps of docs/deploying.md and docs/moving.md on a live homeserver, by the commands of the pages: devices go on
 * uploading while nginx takes the snippet in, the backup is imported, uploads are held off, the last changes are imported,
 * and nginx is switched over. Every key whose upload was acknowledged, by Synapse or by us, is there in the end, and no
 * client ever sees the backup without it.
 */
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { buildCommands, command, main } from '../cli/run-command.js';
import {
  register,
  testHomeserver,
  testHomeserverDatabase,
  type TestUser,
} from '../../../test/homeserver/synapse.js';
import { databases, type TestDatabase } from '../../../test/support/databases.js';
import { keyData, MatrixClient, roomsBody } from '../../../test/support/matrix-client.js';
import { pages, root } from '../pages.js';
import { adapted } from './configuration.js';
import {
  freePort,
  serverProgram,
  type Running,
  startBuiltServer,
  startProxy,
} from './processes.js';

const homeserver = testHomeserver();
const from = testHomeserverDatabase();
const nginx = serverProgram('nginx', 'nginx-light');
const run = promisify(execFile);

/** Commands of a page that this suite runs, and what the page says that the last of them prints. */
interface Step {
  commands: string;
  shown: string | undefined;
}

function stepsOf(path: string): Step[] {
  const { blocks } = pages.find((page) => page.path === path)!;
  return blocks.flatMap(({ mark, text }, at) => {
    if (mark !== 'run-by=server/test/proxy/cut-over.spec.ts') return [];
    const next = blocks[at + 1];
    return [{ commands: text, shown: next?.language === '' ? next.text.trim() : undefined }];
  });
}

/** A machine as the pages have it: a folder in place of /etc/nginx, and what they name in place of ours. */
class Machine {
  private running: Running | undefined;
  private folder = '';

  constructor(
    private readonly at: { proxy: string; roomKeys: string; homeserver: string },
    private readonly variables: Record<string, string> = {},
  ) {}

  get url(): string {
    return `http://${this.at.proxy}`;
  }

  /** With nginx in front of the homeserver, as it is before anything of the pages was done. */
  async start(): Promise<void> {
    this.folder = await mkdtemp(join(tmpdir(), 'room-keys-cut-over-'));
    await chmod(this.folder, 0o711);
    for (const name of ['temp', 'bin', 'conf.d', 'snippets']) await mkdir(join(this.folder, name));
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (kind) => `${kind}_temp_path temp/${kind};`,
    );
    await writeFile(
      join(this.folder, 'main.conf'),
      `daemon off; worker_processes 1; pid nginx.pid; error_log stderr; events {}
       http { access_log off; ${temporary.join(' ')} include conf.d/*.conf; include site.conf; }`,
    );
    await this.program('nginx', `exec ${nginx!} ${this.parameters.join(' ')} "$@"`);
    await this.program('npx', `shift; exec ${process.execPath} ${main} "$@" $ONLY`);
    await this.include(false);
    this.running = await startProxy(nginx!, this.parameters, this.at.proxy);
  }

  /** The one edit that is made by hand. */
  async include(included = true): Promise<void> {
    const text = await adapted('nginx.conf', [
      ['listen 443 ssl;', `listen ${this.at.proxy};`],
      ['ssl_certificate /', '# ssl_certificate /'],
      ['ssl_certificate_key /', '# ssl_certificate_key /'],
      ['server 127.0.0.1:8008;', `server ${this.at.homeserver};`],
    ]);
    const site = text
      .replace(/^upstream room_keys [^]*?^}$/m, '')
      .replace(
        /location ~ \^[^]*?\n {4}\}\n/,
        included ? 'include snippets/room-keys.conf;\n' : '',
      );
    await writeFile(join(this.folder, 'site.conf'), site);
    if (!included) return;
    // what `switch on` does not overwrite: our server listens elsewhere
    const upstream = `upstream room_keys { server ${this.at.roomKeys}; keepalive 16; }`;
    await writeFile(join(this.folder, 'conf.d/room-keys.conf'), upstream);
  }

  /** Runs commands of a page; returns what they print. */
  async shell(commands: string): Promise<string> {
    const adaptedCommands = commands
      .replaceAll('https://matrix.example.org', this.url)
      .replaceAll('postgres://synapse@127.0.0.1:5432/synapse', from ?? '');
    const { stdout } = await run('bash', ['-ec', adaptedCommands], {
      cwd: root,
      env: {
        PATH: `${this.folder}/bin:${process.env.PATH ?? ''}`,
        NGINX_CONF: this.folder,
        NGINX_PID: join(this.folder, 'nginx.pid'),
        ...this.variables,
      },
    });
    return stdout.trim();
  }

  async stop(): Promise<void> {
    await this.running?.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  private get parameters(): string[] {
    return ['-p', this.folder, '-e', 'stderr', '-c', join(this.folder, 'main.conf')];
  }

  private program(name: string, text: string): Promise<void> {
    return writeFile(join(this.folder, 'bin', name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }
}

(nginx ? describe : describe.skip)('the block that holds clients off', () => {
  let server: Running;
  let proxy: Machine;

  beforeAll(async () => {
    // a homeserver is not asked: no request here has a token
    server = await startBuiltServer('http://127.0.0.1:1');
    const { host } = new URL(server.url);
    proxy = new Machine({
      proxy: `127.0.0.1:${await freePort()}`,
      roomKeys: host,
      homeserver: host,
    });
    await proxy.start();
    await proxy.include();
    await proxy.shell('sh docs/proxies/nginx-switch.sh moving');
  });
  afterAll(async () => {
    await proxy.stop();
    await server.stop();
  });

  const cors = ({ headers }: Response) =>
    Object.fromEntries([...headers].filter(([name]) => name.startsWith('access-control-')));

  it.each([
    ['OPTIONS', 204],
    ['GET', 503],
    ['PUT', 503],
  ])('answers %s by %i, with the CORS headers of the server', async (method, status) => {
    const path = '/_matrix/client/v3/room_keys/keys/%21r%3Ahs1/s?version=1';
    const [held, own] = await Promise.all(
      [proxy, server].map(({ url }) => fetch(`${url}${path}`, { method })),
    );
    expect(held?.status).toBe(status);
    expect(cors(own!)).toHaveProperty('access-control-allow-methods');
    expect(cors(held!)).toEqual(cors(own!));
  });
});

(homeserver && from && nginx ? describe : describe.skip).each(databases)(
  'a live homeserver, moved to $name',
  ({ create }) => {
    let database: TestDatabase;
    let server: Running;
    let machine: Machine;
    let user: TestUser;

    beforeAll(async () => {
      await buildCommands();
      database = await create();
      server = await startBuiltServer(homeserver!.url, database.url);
      user = await register(homeserver!);
      machine = new Machine(
        {
          proxy: `127.0.0.1:${await freePort()}`,
          roomKeys: new URL(server.url).host,
          homeserver: new URL(homeserver!.url).host,
        },
        // the homeserver has users of other tests, too
        { DATABASE_URL: database.url, ONLY: `--user ${user.user_id}` },
      );
      await machine.start();
    });
    afterAll(async () => {
      await machine.stop();
      await server.stop();
      await database.drop();
    });

    it('loses no key that was acknowledged, and shows no backup without it', async () => {
      const client = new MatrixClient(machine.url, user.access_token);
      expect(await client.createBackup()).toBe('1');
      const acknowledged: string[] = [];
      const held: Record<string, string | null>[] = [];
      const stopping = new AbortController();
      // a proxy that is reloaded closes connections: no answer, which clients take like a 503
      const put = (body: object) => client.put('/keys?version=1', body).catch(() => undefined);
      // as clients do: the same batch again until it is acknowledged
      const device = async (name: string) => {
        for (let n = 0; !stopping.signal.aborted; n++) {
          const ids = Array.from({ length: 10 }, (_, i) => `${name} ${n} ${i}`);
          const body = roomsBody(ids.map((id) => ['!r:hs1', id, keyData()] as const));
          let answer = await put(body);
          while (answer?.status !== 200) {
            if (answer) {
              expect(answer.status).toBe(503);
              held.push({ ...answer.body, ...Object.fromEntries(answer.headers) });
            }
            await sleep(50);
            answer = await put(body);
          }
          acknowledged.push(...ids);
        }
      };
      let looks = 0;
      const watcher = async () => {
        while (!stopping.signal.aborted) {
          const before = acknowledged.length;
          const answer = await client.get('/version').catch(() => undefined);
          if (answer && answer.status !== 503) {
            expect(answer).toMatchObject({ status: 200, body: { version: '1' } });
            expect(answer.body.count).toBeGreaterThanOrEqual(before);
            looks += 1;
          }
          await sleep(10);
        }
      };
      const running = [...['phone', 'laptop', 'tablet'].map(device), watcher()];
      const more = async () => {
        const before = acknowledged.length;
        while (acknowledged.length < before + 100) await Promise.race([sleep(20), ...running]);
      };

      const [prepare, included] = stepsOf('docs/deploying.md');
      await machine.shell(prepare!.commands);
      await machine.include();
      expect(await machine.shell(included!.commands)).toBe(included!.shown);
      await more();
      const steps = stepsOf('docs/moving.md');
      expect(steps).toHaveLength(6);
      for (const [n, { commands, shown = '' }] of steps.entries()) {
        if (n === 5) {
          // what the whole database holds, and not one user's
          const [imported = '', verify = ''] = commands.trim().split('\n');
          expect(await machine.shell(imported)).toContain(' 0 written, 0 skipped');
          expect(await machine.shell(`ONLY= ${verify}`)).toMatch(/^All is well: checked 1 user,/);
          continue;
        }
        const printed = await machine.shell(commands.replace(' --report issues.jsonl', ''));
        if (shown.startsWith('{')) expect(printed).toBe(shown);
        // a reload by another program changes nothing
        if (n !== 3 && n !== 2) await machine.shell('nginx -s reload');
        if (n !== 2 && n !== 3) await more();
      }
      stopping.abort();
      await Promise.all(running);

      const { body } = await client.get('/keys?version=1');
      expect(Object.keys(body.rooms['!r:hs1'].sessions).sort()).toEqual(acknowledged.sort());
      expect((await client.get('/version')).body.count).toBe(acknowledged.length);
      process.stderr.write(`${acknowledged.length} keys moved, none missing; ${looks} looks\n`);
      expect(held.length).toBeGreaterThan(0);
      expect(held[0]).toMatchObject({
        errcode: 'M_UNKNOWN',
        'retry-after': '5',
        'access-control-allow-origin': '*',
        'access-control-allow-methods': 'GET, POST, PUT, DELETE, OPTIONS',
        'content-type': 'application/json',
      });
      const { code } = await command(['verify'], { DATABASE_URL: database.url });
      expect(code).toBe(0);
    });
  },
);
