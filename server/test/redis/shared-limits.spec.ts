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
import { MatrixClient } from '../../../test/support/matrix-client.js';
import { RedisServer } from './redis-server.js';

const ROOT = resolve(import.meta.dirname, '../../..');
/** Requests beyond one a second that a user has in each minute. */
const BURST = 20;
/** Requests that are under way at once to each server while one user is counted. */
const AT_ONCE = 4;
/** More than both processes would let through on their own. */
const FLOOD = 200;
const USERS = 300;
/** What a server says when it begins to count for itself, and when it counts with others again. */
const CHANGE =
  /Redis (?:failed, each process counts requests for itself until it recovers: .+|is available again: rate limits are shared\..*)\n/g;
const FAILS = expect.stringMatching(/^Redis failed, /) as string;
/** Far more than any of it takes. */
const LIMIT_MS = 240_000;

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
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'room-keys-redis-'));
    redis = await RedisServer.at(program!);
    users = 0;
  });
  afterEach(async () => {
    const all = servers.splice(0);
    for (const { process: child } of all) {
      if (child.exitCode === null && child.kill('SIGKILL')) await once(child, 'exit');
    }
    await redis.kill();
    await rm(folder, { recursive: true, force: true });
    // each change is said once, not for each request
    for (const { said } of all) {
      for (const [n, change] of (said().match(CHANGE) ?? []).entries())
        expect(change.startsWith('Redis failed')).toBe(n % 2 === 0);
    }
  });

  const launch = (variables: Record<string, string>) => {
    const child = spawn(process.execPath, [join(ROOT, 'server/dist/main.js')], {
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
      DEV_TOKENS: Array.from({ length: USERS }, (_, n) => `user${n}=@user${n}:hs1`).join(),
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
  const newUser = () => {
    if (users === USERS) throw new Error('There are no more users');
    return `user${users++}`;
  };
  /** How many of many requests at once were let through; none may fail otherwise. */
  const passing = async ({ url }: Server, user: string) => {
    const client = new MatrixClient(url, user);
    const answers = await Promise.all(Array.from({ length: FLOOD }, () => client.get('/version')));
    const passed = answers.filter(({ status }) => status === 404);
    const refused = answers.filter(({ status }) => status === 429);
    expect(passed.length + refused.length).toBe(FLOOD);
    return passed.length;
  };

  /** What a server has said of Redis until its last answer, in that order. */
  const changesOf = async ({ said }: Server) => {
    // it is written before the answer, and has been read after another turn of the event loop
    for (let turn = 0; turn < 2; turn++) await new Promise(setImmediate);
    return said().match(CHANGE) ?? [];
  };
  const countsAlone = (changes: readonly string[]) =>
    changes.at(-1)?.startsWith('Redis failed') ?? false;
  /** Makes requests until it is so: a server finds out about Redis when it is asked something. */
  const until = async (server: Server, what: string, isSo: () => Promise<boolean>) => {
    const deadline = performance.now() + LIMIT_MS;
    const client = new MatrixClient(server.url, newUser());
    while (!(await isSo())) {
      if (performance.now() > deadline) throw new Error(`${what}: not so. ${server.said()}`);
      expect([404, 429]).toContain((await client.get('/version')).status);
      await sleep(20);
    }
  };
  /** While Redis is away, a server that counts for itself goes on to. */
  const untilAlone = (server: Server) =>
    until(server, 'It counts for itself', async () => countsAlone(await changesOf(server)));
  /** Where Redis is there, a server counts with others, or has for a moment. */
  const untilBack = async (server: Server) => {
    const { length } = await changesOf(server);
    await until(server, 'It counts with others', async () => {
      const changes = await changesOf(server);
      return !countsAlone(changes) || changes.length > length;
    });
  };

  /** Makes requests of a user until each of them that are under way at once is refused. */
  const exhaust = async ({ url }: Server, user: string) => {
    const client = new MatrixClient(url, user);
    let passed = 0;
    const askUntilRefused = async () => {
      for (;;) {
        const { status } = await client.get('/version');
        if (status === 429) return;
        expect(status).toBe(404);
        passed += 1;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, askUntilRefused));
    return passed;
  };
  /**
   * How many requests of a new user two servers let through. On a machine that is busy, Redis may take too
   * long for once, and each process counts for itself for a moment, as it is meant to; or so much time passes
   * that one that counts for itself need not let more through. Such an attempt proves nothing, and another is made.
   *
   * @param alone whether each of them is to count for itself
   * @returns what each let through, and the most that one may in that time
   */
  const counted = async (first: Server, second: Server, alone: boolean) => {
    const servers = [first, second];
    const changes = () => Promise.all(servers.map(changesOf));
    const deadline = performance.now() + LIMIT_MS;
    while (performance.now() < deadline) {
      if (!alone) for (const server of servers) await untilBack(server);
      const before = await changes();
      const user = newUser();
      const begun = performance.now();
      const passed = await Promise.all(servers.map((server) => exhaust(server, user)));
      const seconds = (performance.now() - begun) / 1000;
      const most = BURST * Math.floor(1 + seconds / 60) + Math.ceil(seconds) + 1;
      const isUndisturbed = String(await changes()) === String(before);
      const isAsMeant = alone || !before.some(countsAlone);
      if (isUndisturbed && isAsMeant && most < 2 * BURST) return { passed, most };
    }
    throw new Error('No attempt was undisturbed');
  };
  /** That what one of them lets through is counted by the other. */
  const expectTogether = async (first: Server, second: Server) => {
    const { passed, most } = await counted(first, second, false);
    const sum = passed.reduce((one, other) => one + other);
    expect(sum).toBeGreaterThanOrEqual(BURST);
    expect(sum).toBeLessThanOrEqual(most);
  };
  /** That each of them lets through what a user has, and no more. */
  const expectApart = async (first: Server, second: Server) => {
    const { passed, most } = await counted(first, second, true);
    for (const one of passed) {
      expect(one).toBeGreaterThanOrEqual(BURST);
      expect(one).toBeLessThanOrEqual(most);
    }
  };
  /** Takes Redis away from servers that count together; returns what each says of it until they have noticed. */
  const takenAway = async (servers: Server[], takeAway: () => unknown) => {
    await expectTogether(servers[0]!, servers[1]!);
    const before = await Promise.all(servers.map(changesOf));
    await takeAway();
    for (const server of servers) await untilAlone(server);
    return async () => {
      const after = await Promise.all(servers.map(changesOf));
      return after.map((changes, n) => changes.slice(before[n]!.length));
    };
  };

  it('count the requests of a user together', async () => {
    await redis.start();
    const [first, second] = [await start(), await start()];
    await expectTogether(first, second);
    // what it says of Redis, it says only where Redis did not answer in time
    if ((await changesOf(first)).length + (await changesOf(second)).length === 0)
      expect(first.said() + second.said()).not.toMatch(/Redis/);
  });

  it('answer each of 200 requests at once, however long Redis takes for them', async () => {
    await redis.start();
    const server = await start();
    expect(await passing(server, newUser())).toBeGreaterThanOrEqual(BURST);
  });

  it('would count them apart without it', async () => {
    const [first, second] = [await start({ REDIS_URL: '' }), await start({ REDIS_URL: '' })];
    await expectApart(first, second);
  });

  it('go on when it is killed, each for itself, and together again when it is back', async () => {
    await redis.start();
    const servers = [await start(), await start()] as const;
    const saidSince = await takenAway([...servers], () => redis.kill());
    await expectApart(...servers);
    // once, however many requests there were
    expect(await saidSince()).toEqual([[FAILS], [FAILS]]);

    await redis.start();
    for (const server of servers) await untilBack(server);
    await expectTogether(...servers);
  });

  it('go on when it is killed in the middle of requests', async () => {
    await redis.start();
    const server = await start({ RATE_LIMIT_READS_PER_SECOND: '1000000' });
    const client = new MatrixClient(server.url, newUser());
    let goOn = true;
    const workers = Promise.all(
      Array.from({ length: 8 }, async () => {
        const statuses = new Set<number>();
        while (goOn) statuses.add((await client.get('/version')).status);
        return statuses;
      }),
    );
    try {
      for (let round = 1; round <= 3; round++) {
        await redis.kill();
        await untilAlone(server);
        await redis.start();
        await untilBack(server);
      }
    } finally {
      goOn = false;
    }
    for (const statuses of await workers) expect([...statuses]).toEqual([404]);
  });

  it('go on when it hangs, and together again when it does not', async () => {
    await redis.start();
    const servers = [await start(), await start()] as const;
    const saidSince = await takenAway([...servers], () => {
      redis.hang();
    });
    await expectApart(...servers);
    const late = expect.stringMatching(/no answer in 500 ms/) as string;
    expect(await saidSince()).toEqual([[late], [late]]);

    redis.goOn();
    for (const server of servers) await untilBack(server);
    await expectTogether(...servers);
  });

  it('start without it, and use it when it comes', async () => {
    const [first, second] = [await start(), await start()];
    for (const server of [first, second]) await untilAlone(server);
    await expectApart(first, second);
    await redis.start();
    for (const server of [first, second]) await untilBack(server);
    await expectTogether(first, second);
  });

  it('serve when it refuses the password, and say so without it', async () => {
    redis = await RedisServer.at(program!, 'right');
    await redis.start();
    const server = await start({ REDIS_URL: redis.url.replace(':right@', ':hunter2@') });
    await untilAlone(server);
    // that it is not ready may be seen before it has refused
    await until(server, 'It says why', () =>
      Promise.resolve(/WRONGPASS|NOAUTH/.test(server.said())),
    );
    expect(server.said()).not.toContain('hunter2');
  });

  it('stop at once, also while it is away', async () => {
    const server = await start();
    await untilAlone(server);
    server.process.kill('SIGTERM');
    expect(await once(server.process, 'exit')).toEqual([0, null]);
  });

  it('do not use it without limits', async () => {
    const server = await start({ RATE_LIMIT: 'off' });
    expect(await passing(server, newUser())).toBe(FLOOD);
    expect(server.said()).not.toMatch(/Redis/);
  });
});
