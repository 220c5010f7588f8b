/**
 * Proves, with a real Redis and the built server, that several processes count the requests of a user
 * together; that Redis can be killed, hang and come back while they serve, and no request fails
 * for it; and what is said where it cannot be used.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { serverProgram } from '../proxy/processes.js';
import { MatrixClient } from '../support/matrix-client.js';
import { RedisServer } from './redis-server.js';

const ROOT = resolve(import.meta.dirname, '../..');
const BURST = 20;
/** More than both processes would let through on their own, in as many seconds as that may take. */
const FLOOD = 200;
const FAILS = /Redis fails, each process counts requests for itself meanwhile: .+/g;
const BACK = /Redis is back: the processes count requests together again\./g;

interface Server {
  url: string;
  process: ChildProcess;
  /** Standard output and error so far. */
  said: () => string;
}

const program = serverProgram('redis-server', 'redis-server');

(program === undefined ? describe.skip : describe)('servers that share a Redis', () => {
  let folder: string;
  let redis: RedisServer;
  const servers: Server[] = [];
  let users = 0;

  beforeAll(async () => {
    const build = join(ROOT, 'scripts/build-if-needed.mjs');
    await promisify(execFile)(process.execPath, [build], { cwd: ROOT });
  }, 180_000);
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'room-keys-redis-'));
    redis = await RedisServer.at(program!);
  });
  afterEach(async () => {
    for (const { process: child } of servers.splice(0)) {
      if (child.exitCode === null && child.kill('SIGKILL')) await once(child, 'exit');
    }
    await redis.kill();
    await rm(folder, { recursive: true, force: true });
  });

  const launch = (variables: Record<string, string>) => {
    const child = spawn(process.execPath, [join(ROOT, 'dist/main.js')], {
      cwd: folder,
      env: { PORT: '0', LOG_FORMAT: 'text', RATE_LIMIT_READS_PER_SECOND: '1', ...variables },
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    const server: Server = { url: '', process: child, said: () => text };
    servers.push(server);
    return server;
  };
  const start = async (variables: Record<string, string> = {}) => {
    const server = launch({
      DEV_TOKENS: Array.from({ length: 9 }, (_, n) => `user${n}=@user${n}:hs1`).join(),
      RATE_LIMIT_READS_BURST: String(BURST),
      REDIS_URL: redis.url,
      ...variables,
    });
    const address = /(http:\/\/\S+)\/_matrix/;
    while (!address.test(server.said())) {
      await Promise.race([once(server.process.stdout!, 'data'), once(server.process, 'exit')]);
      if (server.process.exitCode !== null) throw new Error(`It ended: ${server.said()}`);
    }
    server.url = address.exec(server.said())![1]!;
    return server;
  };
  const newUser = () => `user${users++ % 9}`;
  /** How many of many requests at once were let through; none may fail otherwise. */
  const passing = async ({ url }: Server, user: string) => {
    const client = new MatrixClient(url, user);
    const answers = await Promise.all(Array.from({ length: FLOOD }, () => client.get('/version')));
    const passed = answers.filter(({ status }) => status === 404);
    const refused = answers.filter(({ status }) => status === 429);
    expect(passed.length + refused.length).toBe(FLOOD);
    return passed.length;
  };
  /** Whether both together let no more through than one of them would. */
  const countTogether = async (first: Server, second: Server) => {
    const user = newUser();
    const begun = performance.now();
    const passed = [await passing(first, user), await passing(second, user)];
    // one in each second that began meanwhile
    const most = BURST + Math.ceil((performance.now() - begun) / 1000) + 1;
    const sum = passed.reduce((one, other) => one + other);
    expect(sum).toBeGreaterThanOrEqual(BURST);
    // a process that counts for itself does count
    expect(Math.max(...passed)).toBeLessThanOrEqual(most);
    return sum <= most;
  };
  /**
   * That they count together, within a few attempts: on a machine that is busy, Redis may take too
   * long for once, and each process then counts for itself for a second, as it is meant to.
   *
   * @returns how many attempts it took
   */
  const togetherAtLast = async (first: Server, second: Server) => {
    for (let attempt = 1; attempt <= 5; attempt++) {
      if (await countTogether(first, second)) return attempt;
      await sleep(1500);
    }
    throw new Error('They do not count together');
  };
  const hasSaid = async (server: Server, what: RegExp, times = 1) => {
    const until = performance.now() + 30_000;
    const client = new MatrixClient(server.url, newUser());
    while ((server.said().match(what) ?? []).length < times) {
      if (performance.now() > until) throw new Error(`It did not say ${String(what)}`);
      // it finds out about Redis when it is asked something
      expect([404, 429]).toContain((await client.get('/version')).status);
      await sleep(50);
    }
    return server.said().match(what);
  };

  it('count the requests of a user together', async () => {
    await redis.start();
    const [first, second] = [await start(), await start()];
    // what it says of Redis, it says only where Redis did not answer in time
    if ((await togetherAtLast(first, second)) === 1)
      expect(first.said() + second.said()).not.toMatch(/Redis/);
  });

  it('would count them apart without it', async () => {
    const [first, second] = [await start({ REDIS_URL: '' }), await start({ REDIS_URL: '' })];
    expect(await countTogether(first, second)).toBe(false);
  });

  it('go on when it is killed, each for itself, and together again when it is back', async () => {
    await redis.start();
    const [first, second] = [await start(), await start()];
    await togetherAtLast(first, second);

    await redis.kill();
    for (const server of [first, second]) await hasSaid(server, FAILS);
    expect(await countTogether(first, second)).toBe(false);

    await redis.start();
    for (const server of [first, second]) await hasSaid(server, BACK);
    await togetherAtLast(first, second);
    // once, however many requests there were
    for (const server of [first, second]) {
      expect(server.said().match(FAILS)).toHaveLength(1);
      expect(server.said().match(BACK)).toHaveLength(1);
    }
  });

  it('go on when it is killed in the middle of requests', async () => {
    await redis.start();
    const server = await start({ RATE_LIMIT_READS_PER_SECOND: '1000000' });
    const client = new MatrixClient(server.url, newUser());
    let goOn = true;
    const workers = Array.from({ length: 8 }, async () => {
      const statuses = new Set<number>();
      while (goOn) statuses.add((await client.get('/version')).status);
      return statuses;
    });
    for (let round = 1; round <= 3; round++) {
      await redis.kill();
      await hasSaid(server, FAILS, round);
      await redis.start();
      await hasSaid(server, BACK, round);
    }
    goOn = false;
    for (const statuses of await Promise.all(workers)) expect([...statuses]).toEqual([404]);
  });

  it('go on when it hangs, and together again when it does not', async () => {
    await redis.start();
    const [first, second] = [await start(), await start()];
    await togetherAtLast(first, second);

    redis.hang();
    for (const server of [first, second]) {
      expect(await hasSaid(server, FAILS)).toEqual([expect.stringMatching(/no answer in 500 ms/)]);
    }
    expect(await countTogether(first, second)).toBe(false);

    redis.goOn();
    for (const server of [first, second]) await hasSaid(server, BACK);
    await togetherAtLast(first, second);
  });

  it('start without it, and use it when it comes', async () => {
    const [first, second] = [await start(), await start()];
    for (const server of [first, second]) await hasSaid(server, FAILS);
    expect(await countTogether(first, second)).toBe(false);
    await redis.start();
    for (const server of [first, second]) await hasSaid(server, BACK);
    await togetherAtLast(first, second);
  });

  it('serve when it refuses the password, and say so without it', async () => {
    redis = await RedisServer.at(program!, 'right');
    await redis.start();
    const server = await start({ REDIS_URL: redis.url.replace(':right@', ':hunter2@') });
    await hasSaid(server, FAILS);
    expect(server.said()).toMatch(/WRONGPASS|NOAUTH/);
    expect(server.said()).not.toContain('hunter2');
  });

  it('stop at once, also while it is away', async () => {
    const server = await start();
    await hasSaid(server, FAILS);
    server.process.kill('SIGTERM');
    expect(await once(server.process, 'exit')).toEqual([0, null]);
  });

  it('do not ask it where there are no limits', async () => {
    const server = await start({ RATE_LIMIT: 'off' });
    expect(await passing(server, newUser())).toBe(FLOOD);
    expect(server.said()).not.toMatch(/Redis/);
  });

  it('do not start without the package, and say what to write', async () => {
    const hooks = `export const resolve = (name, context, next) => {
      if (name !== 'ioredis') return next(name, context);
      throw Object.assign(new Error("Cannot find package 'ioredis'"), { code: 'ERR_MODULE_NOT_FOUND' });
    };`;
    const module = `import { register } from 'node:module'; register(${JSON.stringify(dataUrl(hooks))});`;
    const { process: child, said } = launch({
      REDIS_URL: redis.url,
      NODE_OPTIONS: `--import=${dataUrl(module)}`,
    });
    const [code] = (await once(child, 'close')) as [number | null];
    expect(said()).toBe(
      'REDIS_URL needs the package ioredis, which is not installed: write npm install ioredis@5, or leave REDIS_URL out.\n',
    );
    expect(code).toBe(1);
  });
});

function dataUrl(code: string): string {
  return `data:text/javascript,${encodeURIComponent(code)}`;
}
