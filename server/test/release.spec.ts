/**
 * Proves the tarball of a release by the commands of docs/deploying.md and docs/operating.md: it is installed, replaced by
 * a newer one and taken back while clients upload, and no acknowledged key is lost.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { json, startService } from '../../test/homeserver/fake-service.js';
import { keyData, MatrixClient, roomsBody } from '../../test/support/matrix-client.js';
import { registryAnswers } from '../../test/package/host.js';
import { pages, root } from './pages.js';
import { freePort } from './proxy/processes.js';

const run = promisify(execFile);
const MOST_MEGABYTES = 150;
const online = await registryAnswers();

/** The blocks of a page that this suite runs, with the folder of the page replaced by one of the test's. */
const commandsOf = (path: string, folder: string) =>
  pages
    .find((page) => page.path === path)!
    .blocks.filter(({ mark }) => mark === 'run-by=server/test/release.spec.ts')
    .map(({ text }) => text.replaceAll('/opt/room-keys', join(folder, 'opt')));

/** What systemd does with the unit: one process, started again when `systemctl restart` has ended it. */
class Service {
  private child: ChildProcess | undefined;
  private stopping = false;

  constructor(
    private readonly folder: string,
    private readonly env: Record<string, string>,
  ) {}

  start(): void {
    const main = join(this.folder, 'opt/current/server/dist/main.js');
    this.child = spawn(process.execPath, [main], { env: this.env, stdio: 'ignore' });
    // what the stand-in for systemctl signals
    void writeFile(join(this.folder, 'pid'), String(this.child.pid));
    this.child.once('exit', () => {
      if (!this.stopping) this.start();
    });
  }

  async stop(): Promise<void> {
    this.stopping = true;
    const gone = once(this.child!, 'exit');
    this.child!.kill('SIGTERM');
    await gone;
  }
}

(online ? describe : describe.skip)('a release', () => {
  let folder: string;
  let service: Service | undefined;

  const shell = (script: string, variables: Record<string, string> = {}) =>
    run('bash', ['-ec', script], {
      cwd: folder,
      // the stand-ins for npm and systemctl come first
      env: { PATH: `${folder}/bin:${process.env.PATH ?? ''}`, HOME: folder, ...variables },
    });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'room-keys-release-'));
    await mkdir(join(folder, 'bin'));
    const standIn = (name: string, text: string) =>
      writeFile(join(folder, 'bin', name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    await standIn('systemctl', `kill -TERM "$(cat ${folder}/pid)"`);
    // compiling better-sqlite3 takes a minute: the repository has it already
    const npm = (await run('sh', ['-c', 'command -v npm'])).stdout.trim();
    await standIn('npm', `exec ${npm} "$@" --ignore-scripts --prefer-offline --no-audit --no-fund`);
    await run(process.execPath, ['scripts/release.mjs', folder], { cwd: root });
  });
  afterAll(async () => {
    await service?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const release = (version: string) => join(folder, 'opt/releases', version);
  const versionNow = async () =>
    (JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }).version;

  it(`is installed in at most ${MOST_MEGABYTES} MB, by the commands of the page`, async () => {
    const version = await versionNow();
    const [install = ''] = commandsOf('docs/deploying.md', folder);
    expect(install).toContain(`VERSION=${version}\n`);
    const begun = performance.now();
    await shell(install);
    const seconds = (performance.now() - begun) / 1000;
    const binary = 'build/Release/better_sqlite3.node';
    const from = dirname(createRequire(import.meta.url).resolve('better-sqlite3/package.json'));
    await cp(join(from, binary), join(release(version), 'node_modules/better-sqlite3', binary));
    const { stdout } = await run('du', ['-sm', release(version)]);
    const megabytes = Number.parseInt(stdout);
    process.stderr.write(`The release was installed in ${seconds.toFixed(0)} s: ${megabytes} MB\n`);
    expect(megabytes).toBeLessThanOrEqual(MOST_MEGABYTES);
    const command = await run('npx', ['room-keys-server', '--version'], { cwd: release(version) });
    expect(command.stdout.trim()).toBe(version);
  });

  it('is replaced by another one and taken back under load: nothing acknowledged is lost', async () => {
    const version = await versionNow();
    const [install = '', upgrade = '', back = ''] = commandsOf('docs/operating.md', folder);
    const [, next = ''] = /^VERSION=(\S+)$/m.exec(install) ?? [];
    expect(upgrade.trim().split('\n')).toHaveLength(2);
    expect(back.trim().split('\n')).toHaveLength(2);
    // the same code as another version: npm would install the same once more
    await cp(release(version), release(next), { recursive: true, verbatimSymlinks: true });
    for (const file of ['package.json', 'server/package.json']) {
      const path = join(release(next), file);
      const manifest = JSON.parse(await readFile(path, 'utf8')) as object;
      await writeFile(path, JSON.stringify({ ...manifest, version: next }));
    }
    const homeserver = await startService(json(200, { user_id: '@alice:hs1', device_id: 'PHONE' }));
    const port = String(await freePort());
    service = new Service(folder, {
      PORT: port,
      HOMESERVER_URL: homeserver.url,
      DATABASE_URL: `sqlite:${folder}/room-keys.db`,
    });
    service.start();
    const url = `http://127.0.0.1:${port}`;
    const serving = async () => {
      const page = await fetch(`${url}/docs-json`).catch(() => undefined);
      const found = page?.ok ? ((await page.json()) as { info: { version: string } }) : undefined;
      return found?.info.version;
    };
    const until = async (wanted: string) => {
      while ((await serving()) !== wanted) await sleep(50);
    };
    await until(version);

    const client = new MatrixClient(url, 'token');
    const backup = await client.createBackup();
    const acknowledged: string[] = [];
    const answers = new Map<number | string, number>();
    const stopping = new AbortController();
    const device = async (name: string) => {
      for (let n = 0; !stopping.signal.aborted;) {
        const ids = Array.from({ length: 5 }, (_, i) => `${name} ${n} ${i}`);
        const body = roomsBody(ids.map((id) => ['!r:hs1', id, keyData()] as const));
        const status = await client.put(`/keys?version=${backup}`, body).then(
          (answer) => answer.status,
          (error: unknown) => (error as { cause?: { code?: string } }).cause?.code ?? String(error),
        );
        answers.set(status, (answers.get(status) ?? 0) + 1);
        if (status === 200) {
          acknowledged.push(...ids);
          n += 1;
        } else await sleep(20);
      }
    };
    const devices = ['phone', 'laptop', 'tablet'].map(device);
    const more = async () => {
      const enough = acknowledged.length + 60;
      while (acknowledged.length < enough) await Promise.race([sleep(20), ...devices]);
    };
    await more();
    await shell(upgrade, { VERSION: next });
    await until(next);
    await more();
    await shell(back, { PREVIOUS: version });
    await until(version);
    await more();
    stopping.abort();
    await Promise.all(devices);
    process.stderr.write(`Answers to uploads: ${JSON.stringify([...answers])}\n`);

    const { body } = await client.get(`/keys?version=${backup}`);
    expect(Object.keys(body.rooms['!r:hs1'].sessions).sort()).toEqual(acknowledged.sort());
    const allowed = [200, 503, 'ECONNREFUSED', 'ECONNRESET', 'UND_ERR_SOCKET'];
    expect([...answers.keys()].filter((status) => !allowed.includes(status))).toEqual([]);
    await homeserver.close();
  });
});
