/**
 * Proves the standalone server as several processes (`WORKERS`), built and on a real database: that
 * they serve at one address and count as one, that another takes the place of one that dies, that none
 * stays behind when they are told to stop or their primary is killed, and what is said when they cannot start.
 */
import { once } from 'node:events';
import { request } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { STOP_TIMEOUT_MS } from '../src/listening.js';
import { type Sample, samplesOf, valueOf } from './operating/exposition.js';
import { build, ServerProcess } from './operating/server-process.js';
import { serverDatabases, type TestDatabase } from '../../test/support/databases.js';

const PREFIX = '/_matrix/client/v3/room_keys';
const BACKUP = JSON.stringify({
  algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2',
  auth_data: {},
});
const USERS = Array.from({ length: 100 }, (_, n) => `user${n}`);
/** Requests beyond one a second that a user has in each minute. */
const BURST = 20;
/** Requests that are under way at once while one user is counted. */
const AT_ONCE = 16;
/** What a worker says when it begins to count for itself, and when it counts with others again. */
const FAILS = /^The primary process failed, each process counts requests for itself/;
const BACK = /^The primary process is available again/;
const COUNT = 'room_keys_request_duration_seconds_count';

const [found] = serverDatabases;

(found === undefined ? describe.skip : describe)('several workers', () => {
  let database: TestDatabase;
  const running: ServerProcess[] = [];

  beforeAll(async () => {
    await build();
    database = await found!.create();
  });
  afterAll(async () => {
    // its end is seen when the last worker has closed its output
    await Promise.all(running.map((server) => server.stop('SIGKILL')));
    await database.drop();
  });

  const launch = (variables: Record<string, string> = {}) => {
    const server = new ServerProcess({
      DATABASE_URL: database.url,
      DEV_TOKENS: USERS.map((user) => `${user}=@${user}:hs1`).join(),
      WORKERS: '2',
      LOG_LEVEL: 'debug',
      ...variables,
    });
    running.push(server);
    return server;
  };
  const start = async (variables: Record<string, string> = {}) => {
    const server = launch(variables);
    return { server, ...(await server.serving()) };
  };

  /** Asks on a connection of its own, which one of the workers takes. @throws where it breaks off */
  const call = (url: string, method = 'GET', body = '', token = USERS[0]!, id?: string) =>
    new Promise<number>((resolve, reject) => {
      const headers = {
        Authorization: `Bearer ${token}`,
        'Content-Length': body.length,
        ...(id === undefined ? {} : { 'X-Request-Id': id }),
      };
      request(`${url}${PREFIX}/version`, { method, headers, agent: false }, (response) => {
        response.once('error', reject).resume();
        response.once('end', () => {
          resolve(response.statusCode ?? 0);
        });
      })
        .once('error', reject)
        .end(body);
    });
  const logged = (server: ServerProcess, message: string | RegExp) =>
    server.lines.filter(({ message: text }) =>
      typeof message === 'string' ? text === message : message.test(String(text)),
    );
  /** The processes that answered so far. */
  const answering = (server: ServerProcess) =>
    new Set(
      server.lines.filter(({ context }) => context === 'Request').map(({ pid }) => pid as number),
    );
  /** Asks until so many processes have answered. */
  const allOf = async (server: ServerProcess, url: string, count = 2) => {
    while (answering(server).size < count)
      await Promise.all(Array.from({ length: 8 }, () => call(url, 'OPTIONS')));
    return [...answering(server)];
  };
  const scrape = async (metrics: string) => samplesOf(await (await fetch(metrics)).text());
  const isRefused = async (url: string) => {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    const outcome = await Promise.race([
      once(socket, 'connect').then(() => false),
      once(socket, 'error').then(() => true),
    ]).catch(() => true);
    socket.destroy();
    return outcome;
  };
  /** A request that the server has begun, and whose body it waits for. */
  const begin = async (url: string) => {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    const begun = { socket, answer: '' };
    socket.setEncoding('utf8').on('data', (text: string) => (begun.answer += text));
    socket.write(
      `POST ${PREFIX}/version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${USERS[0]}\r\n` +
        `Expect: 100-continue\r\nContent-Length: ${BACKUP.length}\r\n\r\n`,
    );
    while (!begun.answer.includes('100 Continue')) await once(socket, 'data');
    return begun;
  };

  describe('that serve', () => {
    let server: ServerProcess;
    let url: string;
    let metrics: string;
    const uploads = (samples: Sample[]) =>
      valueOf(samples, COUNT, { operation: 'postRoomKeysVersion', status: '200' }) ?? 0;

    beforeAll(async () => {
      const limits = { RATE_LIMIT_READS_PER_SECOND: '1', RATE_LIMIT_READS_BURST: String(BURST) };
      ({ server, url, metrics } = await start(limits));
    });

    it('do so at one address, and say it once', async () => {
      const pids = await allOf(server, url);
      expect(pids).not.toContain(server.pid);
      expect(logged(server, 'Serving')).toMatchObject([{ pid: server.pid, workers: 2, url }]);
      const migrations = logged(server, /^Ran the migration/).map(({ name }) => name);
      expect(migrations.length).toBeGreaterThan(0);
      expect(new Set(migrations).size).toBe(migrations.length);
    });

    it('are one in the metrics', async () => {
      const before = uploads(await scrape(metrics));
      for (let n = 0; n < 6; n++) expect(await call(url, 'POST', BACKUP)).toBe(200);
      let after = await scrape(metrics);
      // an answer may be read before it is counted
      while (uploads(after) < before + 6) after = await scrape(metrics);
      expect(uploads(after)).toBe(before + 6);
      expect(valueOf(after, 'room_keys_database_connections_max')).toBe(20);
      expect(valueOf(after, 'room_keys_dependency_up', { dependency: 'database' })).toBe(1);
      const builds = after.filter(({ name }) => name === 'room_keys_build_info');
      expect(builds.map(({ value }) => value)).toEqual([1]);
      const names = new Set(after.map(({ name }) => name));
      for (const name of [
        ...['process_start_time_seconds', 'process_cpu_seconds_total'],
        ...['process_resident_memory_bytes', 'nodejs_eventloop_lag_p99_seconds'],
      ])
        expect(names).toContain(name);
    });

    let asked = 0;
    /** Many requests of a user at once: what each was answered, and by which worker. */
    const askMany = async (user: string) => {
      const ids = Array.from({ length: AT_ONCE }, () => `counted-${++asked}`);
      const statuses = await Promise.all(ids.map((id) => call(url, 'GET', '', user, id)));
      expect(statuses.filter((status) => status !== 404 && status !== 429)).toEqual([]);
      const answers: { status: number; pid: unknown }[] = [];
      for (const [n, id] of ids.entries()) {
        const { pid } = await server.line(
          ({ context, requestId }) => context === 'Request' && requestId === id,
        );
        answers.push({ status: statuses[n]!, pid });
      }
      return answers;
    };
    /** How often workers have said that the primary fails, and how many of them count for themselves since then. */
    const failures = () => logged(server, FAILS).length;
    const alone = () => failures() - logged(server, BACK).length;
    /** They find out about the primary when they are asked something. */
    const untilTogether = async () => {
      while (alone() > 0) {
        await askMany(USERS[2]!);
        await sleep(100);
      }
    };

    it('count the requests of a user together', async () => {
      // On a machine that is busy the primary may take too long for once, and each counts alone for a moment; or
      // so much time passes that workers which do would not let more through. Such an attempt proves nothing.
      for (const user of USERS.slice(3)) {
        await untilTogether();
        const before = failures();
        const begun = performance.now();
        let passed = 0;
        const refusing = new Set<unknown>();
        while (refusing.size < 2) {
          for (const { status, pid } of await askMany(user)) {
            if (status === 429) refusing.add(pid);
            else passed++;
          }
        }
        const seconds = (performance.now() - begun) / 1000;
        const most = BURST * Math.floor(1 + seconds / 60) + Math.ceil(seconds) + 1;
        if (failures() > before || most >= 2 * BURST) continue;
        expect(passed).toBeGreaterThanOrEqual(BURST);
        expect(passed).toBeLessThanOrEqual(most);
        return;
      }
      throw new Error('No attempt was undisturbed');
    });

    it('count each for itself while their primary hangs, and no request fails for it', async () => {
      const user = USERS[1]!;
      await untilTogether();
      const before = failures();
      server.kill('SIGSTOP');
      try {
        for (let n = 0; n < 5; n++) expect(await call(url, 'GET', '', user)).toBe(404);
      } finally {
        server.kill('SIGCONT');
      }
      // said before the answers, but on another way
      while (failures() === before) await sleep(20);
      await untilTogether();
    });

    it('serve on when one of them is killed, until another one has its place', async () => {
      const [victim = 0] = [...answering(server)];
      const before = await scrape(metrics);
      const CLIENTS = 3;
      let broken = 0;
      let isOver = false;
      const clients = Array.from({ length: CLIENTS }, async () => {
        while (!isOver) {
          try {
            expect(await call(url, 'OPTIONS')).toBe(204);
          } catch (error) {
            const { code } = error as NodeJS.ErrnoException;
            expect(['ECONNRESET', 'EPIPE']).toContain(code);
            broken++;
          }
        }
      });
      process.kill(victim, 'SIGKILL');
      await server.line(({ message }) => message === 'A new worker is ready');
      const { worker } = logged(server, 'A new worker is ready')[0] as { worker: number };
      while (!answering(server).has(worker)) await call(url, 'OPTIONS');
      isOver = true;
      await Promise.all(clients);
      // at most what each of them had under way
      expect(broken).toBeLessThanOrEqual(CLIENTS);
      expect(logged(server, /^A worker ended/)).toMatchObject([
        { level: 'warn', worker: victim, pid: server.pid },
      ]);
      const after = await scrape(metrics);
      expect(uploads(after)).toBe(uploads(before));
      const name = 'process_start_time_seconds';
      // starts within a minute count as one: a restart of all workers is not a series of restarts
      expect(valueOf(after, name)).toBe(valueOf(before, name));
    });

    it('finish running requests on SIGTERM, and accept no more', async () => {
      const begun = await begin(url);
      server.kill('SIGTERM');
      while (!(await isRefused(url)));
      begun.socket.write(BACKUP);
      expect(await server.ended()).toBe(0);
      expect(begun.answer).toMatch(/\{"version":"\d+"\}/);
      for (const message of ['Stopping on SIGTERM', 'Stopped']) {
        const lines = logged(server, message).filter(({ level }) => level === 'info');
        expect(lines).toMatchObject([{ pid: server.pid }]);
      }
    });
  });

  it('stop on Ctrl-C, which all of them hear, and at once when it comes again', async () => {
    const { server, url } = await start();
    const pids = [server.pid!, ...(await allOf(server, url))];
    const { socket } = await begin(url);
    const broken: Promise<unknown> = once(socket, 'close');
    const begun = performance.now();
    const ended = server.ended();
    for (const pid of pids) process.kill(pid, 'SIGINT');
    const again = setInterval(() => {
      server.kill('SIGINT');
    }, 100);
    await ended;
    clearInterval(again);
    expect(await ended).toBe(1);
    await broken;
    // the request would have had so long
    expect(performance.now() - begun).toBeLessThan(STOP_TIMEOUT_MS);
    expect(logged(server, /^A worker ended/)).toEqual([]);
  });

  it('end when their primary is killed', async () => {
    const { server, url } = await start();
    await server.stop('SIGKILL');
    expect(await isRefused(url)).toBe(true);
  });

  describe('that cannot start', () => {
    const fatal = async (variables: Record<string, string>) => {
      const server = launch(variables);
      expect(await server.ended()).toBe(1);
      const lines = server.lines.filter(({ level }) => level === 'fatal');
      expect(lines).toHaveLength(1);
      return String(lines[0]!.message);
    };
    const listener = createServer();

    beforeAll(async () => {
      listener.listen(0, '127.0.0.1');
      await once(listener, 'listening');
    });
    afterAll(() => listener.close());
    const taken = () => String((listener.address() as AddressInfo).port);

    it('say so of SQLite', async () => {
      expect(await fatal({ DATABASE_URL: 'sqlite:data/room-keys.db' })).toMatch(
        /^WORKERS starts 2 processes, but DATABASE_URL names a SQLite file, .*\. Set DATABASE_URL .*, or WORKERS=1\.$/,
      );
    });

    it('say once that the port is taken', async () => {
      expect(await fatal({ PORT: taken() })).toBe(
        `PORT ${taken()} is in use. Set another port, for example PORT=8091.`,
      );
    });

    it('say so of the port of the metrics', async () => {
      expect(await fatal({ METRICS_PORT: taken() })).toBe(
        `METRICS_PORT ${taken()} is in use. Set another port, for example METRICS_PORT=8091.`,
      );
    });

    it('say once that the database does not let them in', async () => {
      const url = new URL(database.url);
      url.pathname = '/room_keys_that_is_not_there';
      expect(await fatal({ DATABASE_URL: url.href })).toMatch(
        /^The database in DATABASE_URL does not exist\. Create it.*\.$/,
      );
    });

    it('do not try for ever', async () => {
      const dying = encodeURIComponent("if (process.send) process.kill(process.pid, 'SIGKILL')");
      const message = await fatal({ NODE_OPTIONS: `--import=data:text/javascript,${dying}` });
      expect(message).toMatch(
        /^5 workers in a row ended before they were ready, the last one by SIGKILL\. Check .*\.$/,
      );
    });
  });
});
