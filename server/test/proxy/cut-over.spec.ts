/**
 * Proves the steps of docs/moving.md on a live homeserver: devices go on uploading while the backup is
 * imported, nginx holds them off with the block of the docs, the last changes are imported, and nginx is
 * switched over. Every key whose upload was acknowledged, by Synapse or by us, is there in the end.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile, chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { buildCommands, command } from '../cli/run-command.js';
import {
  register,
  testHomeserver,
  testHomeserverDatabase,
  type TestUser,
} from '../../../test/homeserver/synapse.js';
import { databases, type TestDatabase } from '../../../test/support/databases.js';
import { keyData, MatrixClient, roomsBody } from '../../../test/support/matrix-client.js';
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

/** Where requests for room_keys go. */
type Stage = 'homeserver' | 'held off' | 'room keys';

/** nginx as the docs have it at each stage. */
class SwitchedNginx {
  private running: Running | undefined;
  private folder = '';

  constructor(private readonly at: { proxy: string; roomKeys: string; homeserver: string }) {}

  get url(): string {
    return `http://${this.at.proxy}`;
  }

  async start(): Promise<void> {
    this.folder = await mkdtemp(join(tmpdir(), 'room-keys-cut-over-'));
    await chmod(this.folder, 0o711);
    await mkdir(join(this.folder, 'temp'));
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (kind) => `${kind}_temp_path temp/${kind};`,
    );
    await writeFile(
      join(this.folder, 'main.conf'),
      `daemon off; worker_processes 1; pid nginx.pid; error_log stderr; events {}
       http { access_log off; ${temporary.join(' ')} include beside.conf; }`,
    );
    await this.write('homeserver');
    this.running = await startProxy(nginx!, this.parameters, this.at.proxy);
  }

  /** Reloads with another stage; ends when no request of the one before is under way. */
  async switchTo(stage: Stage): Promise<void> {
    await this.write(stage);
    await run(nginx!, [...this.parameters, '-s', 'reload']);
    // until the new workers are there, and the old ones have finished what they had begun
    while ((await this.stageThatAnswers()) !== stage || (await this.isShuttingDown()))
      await sleep(20);
  }

  async stop(): Promise<void> {
    await this.running?.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  private get parameters(): string[] {
    return ['-p', this.folder, '-e', 'stderr', '-c', join(this.folder, 'main.conf')];
  }

  private async write(stage: Stage): Promise<void> {
    const text = await adapted('nginx.conf', [
      ['listen 443 ssl;', `listen ${this.at.proxy};`],
      ['ssl_certificate /', '# ssl_certificate /'],
      ['ssl_certificate_key /', '# ssl_certificate_key /'],
      ['server 127.0.0.1:8090;', `server ${this.at.roomKeys};`],
      ['server 127.0.0.1:8008;', `server ${this.at.homeserver};`],
    ]);
    const block = /location ~ \^[^]*?\n {4}\}\n/;
    if (!block.test(text)) throw new Error('The block for room_keys is not found.');
    const moving = await adapted('nginx-moving.conf', []);
    const staged = {
      homeserver: text.replace(block, ''),
      'held off': text.replace(block, () => moving),
      'room keys': text,
    };
    await writeFile(join(this.folder, 'beside.conf'), staged[stage]);
  }

  /** @returns undefined where a worker that ends has closed the connection without an answer */
  private async stageThatAnswers(): Promise<Stage | undefined> {
    const url = `${this.url}/_matrix/client/v3/room_keys/version`;
    const answer = await fetch(url).catch(() => undefined);
    if (!answer) return undefined;
    if (answer.status === 503) return 'held off';
    const { error } = (await answer.json()) as { error: string };
    return error === 'Missing access token' ? 'homeserver' : 'room keys';
  }

  private async isShuttingDown(): Promise<boolean> {
    const { stdout } = await run('ps', ['-eo', 'ppid,args']);
    const { stdout: pid } = await run('cat', [join(this.folder, 'nginx.pid')]);
    return stdout
      .split('\n')
      .some((line) => line.trim().startsWith(`${pid.trim()} `) && line.includes('shutting down'));
  }
}

(nginx ? describe : describe.skip)('the block that holds clients off', () => {
  let server: Running;
  let proxy: SwitchedNginx;

  beforeAll(async () => {
    // a homeserver is not asked: no request here has a token
    server = await startBuiltServer('http://127.0.0.1:1');
    const { host } = new URL(server.url);
    proxy = new SwitchedNginx({
      proxy: `127.0.0.1:${await freePort()}`,
      roomKeys: host,
      homeserver: host,
    });
    await proxy.start();
    await proxy.switchTo('held off');
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
    let proxy: SwitchedNginx;
    let user: TestUser;

    beforeAll(async () => {
      await buildCommands();
      database = await create();
      server = await startBuiltServer(homeserver!.url, database.url);
      proxy = new SwitchedNginx({
        proxy: `127.0.0.1:${await freePort()}`,
        roomKeys: new URL(server.url).host,
        homeserver: new URL(homeserver!.url).host,
      });
      await proxy.start();
      user = await register(homeserver!);
    });
    afterAll(async () => {
      await proxy.stop();
      await server.stop();
      await database.drop();
    });

    const imported = async (...more: string[]) => {
      const args = [
        'import',
        'synapse',
        '--from',
        from!,
        '--user',
        user.user_id,
        '--json',
        ...more,
      ];
      const { code, out, err } = await command(args, { DATABASE_URL: database.url });
      expect({ code, err }).toEqual({ code: 0, err: '' });
      return JSON.parse(out);
    };

    it('loses no key that was acknowledged', async () => {
      const client = new MatrixClient(proxy.url, user.access_token);
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
      const devices = ['phone', 'laptop', 'tablet'].map(device);
      const more = async () => {
        const before = acknowledged.length;
        while (acknowledged.length < before + 100) await Promise.race([sleep(20), ...devices]);
      };

      await more();
      expect(await imported('--follow-deletions')).toMatchObject({ backups: { created: 1 } });
      await more();
      await proxy.switchTo('held off');
      expect(await imported('--changed', '--follow-deletions')).toMatchObject({
        complete: true,
        backups: { merged: 1 },
      });
      await proxy.switchTo('room keys');
      await more();
      expect(await imported()).toMatchObject({ keys: { written: 0 } });
      stopping.abort();
      await Promise.all(devices);

      const { body } = await client.get('/keys?version=1');
      expect(Object.keys(body.rooms['!r:hs1'].sessions).sort()).toEqual(acknowledged.sort());
      expect((await client.get('/version')).body.count).toBe(acknowledged.length);
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
