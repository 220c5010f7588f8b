import { DataSource } from 'typeorm';
import { databases, type TestDatabase } from '../support/databases.js';
import { Devices } from './devices.js';
import type { HistoryEvent } from './history.js';
import { KnownStates } from './known-states.js';
import { Random } from './random.js';
import { build } from '../../server/test/operating/server-process.js';
import { RestartableServer, tokensOf } from './restartable-server.js';
import { inspectRows } from './stored-rows.js';
import { Wire } from './wire.js';

interface Extent {
  seed: number;
  /** Rounds on each database, unless the time is over before. */
  rounds: number;
  /** Requests of the eight devices in a round: after it all that is stored is looked at. */
  requests: number;
  minutes: number;
  servers: number;
  /** Receives the result for one database. */
  report?: (text: string) => void;
}

/** The eight devices are alice's; the others are her neighbours in every table and index. */
const DEVICES = { alice: 8, bob: 2, zoe: 2 };
type User = keyof typeof DEVICES;
export const USERS = Object.keys(DEVICES) as User[];

/** Several servers on one database, and devices that do at the same time whatever they can. */
export function describeConcurrency(extent: Extent): void {
  describe.each(databases)('eight devices and several servers on $name', ({ name, create }) => {
    let database: TestDatabase;
    let dataSource: DataSource;
    let servers: RestartableServer[];
    let wires: Wire[];

    beforeAll(async () => {
      await build();
      database = await create();
      const variables = {
        DATABASE_URL: database.url,
        DEV_TOKENS: tokensOf(USERS),
      };
      // at once: of servers that start together, one makes the tables
      servers = await Promise.all(
        Array.from({ length: extent.servers }, () => new RestartableServer(variables).start()),
      );
      wires = servers.map(({ url }) => new Wire(url));
      dataSource = await new DataSource(database.dataSourceOptions).initialize();
    });
    afterAll(async () => {
      for (const wire of wires) wire.close();
      await Promise.all(servers.map((server) => server.stop()));
      await dataSource.destroy();
      await database.drop();
    });

    it('answer as if one request came after the other, and leave stored what they answered', async () => {
      const told = await devicesAtWork(extent, servers, wires, [dataSource]);
      extent.report?.(`${name}: ${told}`);
    });
  });
}

/**
 * Has eight devices and their neighbours do at the same time whatever they can, and holds all answers,
 * and after each round all that is stored, against a server that does one thing after the other.
 *
 * @param dataSources through each of them the same rows are expected
 * @returns what it came to
 */
export async function devicesAtWork(
  extent: Pick<Extent, 'seed' | 'rounds' | 'requests' | 'minutes'>,
  servers: readonly RestartableServer[],
  wires: readonly Wire[],
  dataSources: readonly DataSource[],
): Promise<string> {
  const random = new Random(extent.seed);
  const users = USERS.map(
    (user) => new Devices(user, () => wires, random, { rooms: 3, sessions: 8, largestUpload: 16 }),
  );
  const states = new KnownStates(extent.seed);
  const deadline = Date.now() + extent.minutes * 60_000;
  const tally: Tally = { rounds: 0, requests: 0, writes: 0 };

  for (let round = 1; round <= extent.rounds && Date.now() < deadline; round += 1) {
    const [alice] = users;
    const goesOn = () => alice!.history.length < extent.requests;
    await Promise.all(
      users.flatMap((devices) =>
        Array.from({ length: DEVICES[devices.user as User] }, () => devices.device(goesOn)),
      ),
    );
    for (const devices of users) {
      expect(devices.failures).toEqual([]);
      count(tally, devices.history);
      await states.prove(devices);
      expect(devices.failures).toEqual([]);
    }
    for (const dataSource of dataSources) {
      expect((await inspectRows(dataSource)).faults).toEqual([]);
    }
    tally.rounds += 1;
  }

  // the servers sweep by themselves: nothing but the tables tells when they are through
  const [first, ...others] = dataSources;
  let rows = await inspectRows(first!);
  while (rows.retired > 0) rows = await inspectRows(first!);
  for (const other of others) expect(await inspectRows(other)).toEqual(rows);
  for (const devices of users) states.settle(devices);
  expect(rows).toEqual({ faults: [], retired: 0, ...states.content });
  for (const { printed } of servers) {
    // a test database is not durable through a power loss, which is logged
    const others = printed.replace(/^.* of the database is off: .*$/gm, '');
    expect(others).not.toMatch(/fail|error|warn/i);
  }
  const conflicts = await conflictsOf(servers);
  return `${servers.length} servers, ${tally.rounds} rounds, ${tally.requests} requests, ${tally.writes} of them to change something, conflicts: ${conflicts}, lost: 0, seed ${extent.seed}`;
}

/** How often transactions gave way to others, by the database's code for it. */
async function conflictsOf(servers: readonly RestartableServer[]): Promise<string> {
  const counts = new Map<string, number>();
  for (const server of servers) {
    for (const { labels, value } of await server.metric('room_keys_conflicts_total')) {
      if (value > 0) counts.set(labels, (counts.get(labels) ?? 0) + value);
    }
  }
  return [...counts].map(([labels, value]) => `${value} (${labels})`).join(', ') || '0';
}

interface Tally {
  rounds: number;
  requests: number;
  writes: number;
}

function count(tally: Tally, history: readonly HistoryEvent[]): void {
  for (const { operation } of history) {
    tally.requests += 1;
    if (!operation.kind.startsWith('read')) tally.writes += 1;
  }
}
