import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { timeouts } from '../../src/room-keys/storage/database/timeouts.js';
import { build } from '../../server/test/operating/server-process.js';
import { createOn, databases, type TestDatabase } from '../support/databases.js';
import { keyData, roomsBody } from '../support/matrix-client.js';
import { Database } from '../../src/room-keys/storage/database/database.js';
import { numberOf } from '../support/sql.js';
import { countConnections } from '../support/waiting.js';
import { Crowd, LEAVER, SWEEP_INTERVAL_MS } from './crowd.js';
import { type KillableDatabase, killableDatabases } from './killable-database.js';
import { ROOM_KEYS } from './paths.js';
import type { RestartableServer } from './restartable-server.js';
import type { WireAnswer } from './wire.js';

interface Extent {
  seed: number;
  /** How often a server is killed on each database. */
  serverKills: number;
  /** How often each database is killed. */
  databaseKills: number;
  /** Keys of the backup in whose sweep the servers are killed, and how often. */
  sweptKeys: number;
  sweepKills: number;
  /** Receives the result for one database. */
  report?: (text: string) => void;
}

/** Connections to the database that a server has at most: mysql2's own number. */
const POOL_SIZE = 10;
/** A request that the database does not answer is answered sooner, whatever it waits for. */
const BOUND_MS = 2 * (timeouts.turnMs + timeouts.connectionMs + timeouts.requestMs);

/** How many times larger the backup gets in whose sweep the servers are killed. */
const LARGEST_SWEEP = 16;
/** Keys of one upload. */
const BATCH = 2000;

/** Servers that end without warning, again and again, while devices do whatever they can. */
export function describeServerKills(extent: Extent): void {
  describe.each(databases)('kill -9 of a server on $name', ({ name, create }) => {
    let database: TestDatabase;
    let dataSource: DataSource;
    let crowd: Crowd;

    beforeAll(async () => {
      await build();
      database = await create();
      crowd = await Crowd.on(database.url, name === 'SQLite' ? 1 : 2, extent.seed);
      dataSource = await new DataSource(database.dataSourceOptions).initialize();
    });
    afterAll(async () => {
      await crowd.end();
      await dataSource.destroy();
      await database.drop();
    });

    it('loses nothing that was acknowledged; what was not is there as a whole, or not at all', async () => {
      const { servers, random } = crowd;
      for (let kill = 0; kill < extent.serverKills; kill += 1) {
        const victim = servers[kill % servers.length]!;
        crowd.begin();
        await crowd.after(10 + random.below(60));
        await crowd.kill(victim);
        // where there is another, it serves as if nothing had happened
        if (servers.length > 1) await crowd.after(20);
        await crowd.rest();
        for (const { failures } of crowd.users) expect(failures).toEqual([]);
        await crowd.restart(victim);
        await crowd.prove(dataSource);
      }
      await crowd.proveSwept(dataSource);
      extent.report?.(`kill -9 of ${servers.length} servers on ${name}: ${crowd.figures}`);
    });

    it('in the middle of a sweep leaves nothing behind', async () => {
      const { servers } = crowd;
      const keys = async () => {
        return numberOf(dataSource, 'SELECT COUNT(*) AS count FROM room_keys_keys');
      };
      const before = await keys();

      /** Waits until another step is done, or all of them: whoever sweeps is at it. */
      const goesOn = async (isLate: () => boolean = () => false) => {
        const left = await keys();
        while (left > before && (await keys()) === left) {
          if (isLate()) throw new Error('The servers did not sweep when they were started');
          await sleep(1);
        }
      };

      let inTheMiddle = 0;
      let size = extent.sweptKeys;
      for (let kill = 0; kill < extent.sweepKills || inTheMiddle === 0; kill += 1) {
        if ((await keys()) === before) await leaveBackup(crowd, servers[0]!, size);
        await goesOn();
        await Promise.all(servers.map((server) => crowd.kill(server)));
        if ((await keys()) > before) inTheMiddle += 1;
        // it was through before the kill, on a machine that has other things to do: the next one takes longer
        else size = Math.min(2 * size, LARGEST_SWEEP * extent.sweptKeys);
        const begun = performance.now();
        await Promise.all(servers.map((server) => crowd.restart(server)));
        // because they have started, not because they look again
        await goesOn(() => performance.now() - begun > SWEEP_INTERVAL_MS);
      }
      await crowd.proveSwept(dataSource);
      expect(await keys()).toBe(before);
    });
  });
}

/** A large backup is made and deleted. */
async function leaveBackup(crowd: Crowd, server: RestartableServer, keys: number): Promise<void> {
  const call = async (method: string, path: string, body?: object) => {
    const headers = { Authorization: `Bearer ${LEAVER}` };
    const wire = crowd.to(server);
    const answer = await wire.send(method, ROOM_KEYS + path, headers, body && JSON.stringify(body));
    expect(answer).toMatchObject({ status: 200 });
    return JSON.parse(answer.text) as { version: string };
  };
  const algorithm = 'm.megolm_backup.v1.curve25519-aes-sha2';
  const { version } = await call('POST', '/version', { algorithm, auth_data: {} });
  const all = Array.from(
    { length: keys },
    (_, n) => [`!r${n % 5}:hs1`, `s${n}`, keyData()] as const,
  );
  for (let from = 0; from < keys; from += BATCH)
    await call('PUT', `/keys?version=${version}`, roomsBody(all.slice(from, from + BATCH)));
  await call('DELETE', `/version/${version}`);
}

/** A database that ends without warning, again and again, while devices do whatever they can. */
export function describeDatabaseKills(extent: Extent): void {
  if (killableDatabases.length === 0) {
    if (process.env.CI)
      throw new Error('A database that can be killed is required here: install mariadb-server.');
    it.todo('kill -9 of a database: there is none that can be killed');
    return;
  }
  describe.each(killableDatabases)('kill -9 of $name', ({ name, type, start }) => {
    let server: KillableDatabase;
    let database: TestDatabase;
    let dataSource: DataSource;
    let crowd: Crowd;

    beforeAll(async () => {
      await build();
      server = await start();
      database = await createOn(server.url, type, 'room_keys_killed_');
      crowd = await Crowd.on(database.url, 2, extent.seed);
      dataSource = await new DataSource(database.dataSourceOptions).initialize();
    });
    afterAll(async () => {
      await crowd.end();
      await dataSource.destroy();
      await database.drop();
      await server.end();
    });

    it('loses nothing that was acknowledged; the servers say 503 meanwhile, and heal by themselves', async () => {
      const { servers, random, tally } = crowd;
      const processes = servers.map(({ pid }) => pid);
      for (let kill = 0; kill < extent.databaseKills; kill += 1) {
        crowd.begin();
        await crowd.after(10 + random.below(60));
        crowd.halt();
        tally.kills += 1;
        const away = new AbortController();
        const told = servers.map((one) => askMeanwhile(crowd, one, away.signal));
        await server.kill(() => Promise.all(told.map(({ refused }) => refused)));
        const back = performance.now();
        for (const one of servers) await crowd.heals(one, back);
        away.abort();
        await crowd.rest();
        const refusals = (await Promise.all(told.map(({ refusals: all }) => all))).flat();
        for (const devices of crowd.users) refusals.push(...devices.failures.splice(0));
        expect(refusals.length).toBeGreaterThan(0);
        // an unexpected error has its stack in the log
        for (const { printed } of servers) expect(printed).not.toMatch(/^ +at /m);
        for (const { status, headers, text } of refusals) {
          expect({ status, text }).toMatchObject({ status: 503 });
          expect(headers['retry-after']).toMatch(/^\d+$/);
        }
        await crowd.prove(dataSource);
      }
      await crowd.proveSwept(dataSource);
      expect(servers.map(({ pid }) => pid)).toEqual(processes);
      await expectAllConnections(crowd, dataSource);
      extent.report?.(`kill -9 of ${name} under 2 servers: ${crowd.figures}`);
    });
  });
}

/** Asks a server again and again, and collects its refusals; `refused` resolves with the first. */
function askMeanwhile(crowd: Crowd, server: RestartableServer, until: AbortSignal) {
  let hear: () => void = () => undefined;
  const refused = new Promise<void>((resolve) => {
    hear = resolve;
  });
  const call = async (): Promise<WireAnswer[]> => {
    const refusals: WireAnswer[] = [];
    while (!until.aborted) {
      const asked = performance.now();
      const answer = await crowd.probe(server);
      expect(performance.now() - asked).toBeLessThan(BOUND_MS);
      if (answer.status !== 404) {
        refusals.push(answer);
        hear();
      }
      await sleep(5);
    }
    return refusals;
  };
  const refusals = call();
  refusals.catch(hear);
  return { refused, refusals };
}

/** Each server has all of its connections to give, and none that it does not know of any more. */
async function expectAllConnections(crowd: Crowd, dataSource: DataSource): Promise<void> {
  const { servers } = crowd;
  for (let n = 0; n < 4; n += 1) {
    const answers = await Promise.all(
      servers.flatMap((server) => Array.from({ length: POOL_SIZE }, () => crowd.probe(server))),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([404]));
  }
  const { used = 0, free = 0 } = Database.of(dataSource).activity.connections ?? {};
  expect(await countConnections(dataSource)).toBeLessThanOrEqual(
    servers.length * POOL_SIZE + Math.max(1, used + free),
  );
}
