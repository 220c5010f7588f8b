/**
 * Proves that nothing one user does keeps others from the database, by what can be reached while the one waits:
 * locks are held for as long as the test likes, so that nothing depends on the speed of the machine.
 */
import { get, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { RoomKeysService } from '../../src/index.js';
import { RoomKeysMaintenance } from '../../src/operations/index.js';
import { onEachConnection } from '../../src/room-keys/storage/database/mysql-pool.js';
import { timeouts } from '../../src/room-keys/storage/database/timeouts.js';
import { startApplication, type TestApplication } from '../support/application.js';
import {
  type DatabaseName,
  databases,
  serverDatabases,
  type TestDatabase,
  withOptions,
} from '../support/databases.js';
import { keyData, keyPath, type MatrixClient, roomsBody } from '../support/matrix-client.js';
import { waitingForLocks } from '../support/waiting.js';

const ALL = '/keys?version=1';
const KEY = (n: number) => `${keyPath('!r:hs1', `s${n}`)}?version=1`;

/** However long a test takes on a busy machine, nothing in it gives up. */
const PATIENCE_MS = 3_600_000;
const usual = { ...timeouts };
beforeAll(() => {
  for (const name of Object.keys(timeouts) as (keyof typeof timeouts)[])
    timeouts[name] = PATIENCE_MS;
});
afterAll(() => Object.assign(timeouts, usual));

const TABLES = ['users', 'backups', 'keys', 'rooms', 'key_sets', 'retired_rooms'];
type Locks = [what: string, ...statements: string[]][];
const mysqlLocks: Locks = [
  [
    'the tables are locked for reading',
    `LOCK TABLES ${TABLES.map((table) => `room_keys_${table} READ`).join()}`,
  ],
  ['a dump has locked all tables', 'FLUSH TABLES WITH READ LOCK'],
];
const LOCKS: Record<DatabaseName, Locks> = {
  SQLite: [],
  MariaDB: mysqlLocks,
  MySQL: mysqlLocks,
  PostgreSQL: [
    [
      'an index is made of the keys',
      'START TRANSACTION',
      'CREATE INDEX another ON room_keys_keys (session_id)',
    ],
    [
      'the tables are locked against writing',
      'START TRANSACTION',
      `LOCK TABLE ${TABLES.map((table) => `room_keys_${table}`).join()} IN EXCLUSIVE MODE`,
    ],
  ],
};

describe.each(serverDatabases)('beside a user whose changes wait on $name', ({ name, create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let other: DataSource;
  let alice: MatrixClient;
  let bob: MatrixClient;

  const start = async (poolSize: number, databaseConnections?: number) => {
    database = await create();
    application = await startApplication(withOptions(database, { poolSize }), {
      rateLimit: false,
      databaseConnections,
    });
    onEachConnection(
      application.dataSource,
      `SET SESSION innodb_lock_wait_timeout = ${PATIENCE_MS / 1000}`,
    );
    other = await new DataSource(database.dataSourceOptions).initialize();
    [alice, bob] = [application.client('alice'), application.client('bob')];
    for (const client of [alice, bob]) {
      await client.createBackup();
      await client.put(KEY(0), keyData());
    }
  };
  afterEach(async () => {
    await other.destroy();
    await application.close();
    await database.drop();
  });

  /** Holds what a statement locks; returns what ends that. */
  const hold = async (...statements: string[]) => {
    const holder = other.createQueryRunner();
    for (const statement of statements) await holder.query(statement);
    return async () => {
      await holder.query('ROLLBACK');
      if (name !== 'PostgreSQL') await holder.query('UNLOCK TABLES');
      await holder.release();
    };
  };
  const lockAlice = () =>
    hold(
      'START TRANSACTION',
      "SELECT * FROM room_keys_users WHERE user_id = '@alice:hs1' FOR UPDATE",
    );
  const uploads = (count: number) =>
    Array.from({ length: count }, (_, n) => alice.put(KEY(n + 1), keyData()));
  const waiting = () => application.app.get(RoomKeysService).activity().transactionsWaiting;
  const connectionsInUse = async () => (await waitingForLocks(other, 'SELECT')).length;

  it('others read, store, restore and delete, and the host has its connections', async () => {
    await start(10);
    const unlock = await lockAlice();
    const waitingUploads = uploads(40);
    while (waiting() < 39) await sleep(5);
    // the one that does not wait here may be on its way there
    while ((await connectionsInUse()) === 0) await sleep(5);
    expect(await connectionsInUse()).toBe(1);

    expect((await bob.get('/version')).status).toBe(200);
    expect((await bob.put(KEY(1), keyData())).body).toEqual({ count: 2, etag: '2' });
    expect((await bob.get(ALL)).body).toEqual(
      roomsBody([0, 1].map((n) => ['!r:hs1', `s${n}`, keyData()] as const)),
    );
    expect((await bob.delete(`${keyPath('!r:hs1')}?version=1`)).body).toEqual({
      count: 0,
      etag: '3',
    });
    expect(await application.dataSource.query('SELECT 1 AS one')).toHaveLength(1);
    await application.app.get(RoomKeysMaintenance).ping();
    // even alice reads
    expect((await alice.get(KEY(0))).status).toBe(200);

    await unlock();
    for (const { status } of await Promise.all(waitingUploads)) expect(status).toBe(200);
    expect((await alice.get('/version')).body).toMatchObject({ count: 41, etag: '41' });
  });

  it('others are served with the fewest connections that leave one for reads', async () => {
    await start(3, 2);
    const unlock = await lockAlice();
    const waitingUploads = uploads(20);
    while (waiting() < 19) await sleep(5);
    expect((await bob.get('/version')).status).toBe(200);
    expect((await bob.get(KEY(0))).status).toBe(200);
    expect(await application.dataSource.query('SELECT 1 AS one')).toHaveLength(1);
    await unlock();
    for (const { status } of await Promise.all(waitingUploads)) expect(status).toBe(200);
  });

  it('at least a hundred changes wait; further ones of that user get 429, those of others none', async () => {
    await start(10);
    const unlock = await lockAlice();
    const answered: number[] = [];
    const all = uploads(1100).map(async (answer) => {
      const { status, body, headers } = await answer;
      if (status === 429) {
        expect(body.errcode).toBe('M_LIMIT_EXCEEDED');
        expect(body.retry_after_ms).toBeGreaterThan(0);
        expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
      }
      answered.push(status);
      return status;
    });
    while (answered.length + waiting() < 1099) await sleep(5);
    expect(waiting()).toBeGreaterThanOrEqual(100);
    expect(new Set(answered)).toEqual(new Set([429]));
    expect((await bob.put(KEY(1), keyData())).status).toBe(200);
    await unlock();
    expect(new Set(await Promise.all(all))).toEqual(new Set([200, 429]));
  });

  it.each(LOCKS[name])(
    'reads are answered while %s, and uploads are stored after it',
    async (_, ...statements) => {
      await start(10);
      const unlock = await hold(...statements);
      const carol = application.client('carol');
      const waitingUploads = [
        ...uploads(20),
        ...Array.from({ length: 4 }, (_, n) => bob.put(KEY(n + 1), keyData())),
      ];
      while (waiting() < 22) await sleep(5);
      for (let n = 0; n < 7; n += 1) {
        expect((await bob.get('/version')).status).toBe(200);
        expect((await bob.get(ALL)).status).toBe(200);
        expect((await carol.get('/version')).status).toBe(404);
      }
      await unlock();
      for (const { status } of await Promise.all(waitingUploads)) expect(status).toBe(200);
    },
  );
});

describe.each(databases)('slow restores on $name', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;

  beforeEach(async () => {
    database = await create();
    application = await startApplication(database, { rateLimit: false });
  });
  afterEach(async () => {
    await application.close();
    await database.drop();
  });

  const KEYS = 4000;
  const LARGE = keyData({ session_data: { x: 'y'.repeat(2000) } });
  const fill = async (client: MatrixClient) => {
    await client.createBackup();
    for (let from = 0; from < KEYS; from += 500) {
      const keys = Array.from(
        { length: 500 },
        (_, n) => [`!r${n % 5}:hs1`, `s${from + n}`, LARGE] as const,
      );
      expect((await client.put(ALL, roomsBody(keys))).status).toBe(200);
    }
  };
  /** A restore of which the beginning has come, and the rest is not read until `rest` is called. */
  const slowRestore = (user: string) =>
    new Promise<{ status: number; rest: () => Promise<string> }>((resolve, reject) => {
      get(
        `${application.url}/_matrix/client/v3/room_keys${ALL}`,
        { headers: { Authorization: `Bearer ${user}` }, agent: false },
        (response: IncomingMessage) => {
          response.pause();
          const rest = async () => {
            let text = '';
            response.setEncoding('utf8');
            for await (const piece of response) text += piece as string;
            return text;
          };
          resolve({ status: response.statusCode ?? 0, rest });
        },
      ).on('error', reject);
    });

  it('keep no other restore out, and return each key that stays once', async () => {
    const [alice, bob, carol] = ['alice', 'bob', 'carol'].map((name) =>
      application.client(name),
    ) as [MatrixClient, MatrixClient, MatrixClient];
    await fill(alice);
    await fill(bob);
    await carol.createBackup();
    await carol.put(ALL, roomsBody([['!r:hs1', 's', keyData()]]));

    const slow = await Promise.all(
      Array.from({ length: 12 }, (_, n) => slowRestore(n % 2 ? 'alice' : 'bob')),
    );
    expect(slow.map(({ status }) => status)).toEqual(Array(12).fill(200));
    for (let n = 0; n < 8; n += 1) {
      expect((await carol.get(ALL)).body).toEqual(roomsBody([['!r:hs1', 's', keyData()]]));
    }
    // what changes meanwhile: better keys, new ones, a room that goes, one that comes back
    const better = keyData({ is_verified: true });
    await alice.put(
      ALL,
      roomsBody([
        ['!r0:hs1', 's0', better],
        ['!r0:hs1', 'new', LARGE],
        ['!new:hs1', 'n', LARGE],
      ]),
    );
    await alice.delete(`${keyPath('!r1:hs1')}?version=1`);
    await alice.put(ALL, roomsBody([['!r1:hs1', 's1', LARGE]]));

    const texts = await Promise.all(slow.map(({ rest }) => rest()));
    for (const [n, text] of texts.entries()) {
      const { rooms } = JSON.parse(text) as { rooms: Record<string, { sessions: object }> };
      expect(Object.keys(rooms).length).toBe(text.match(/"sessions"/g)?.length);
      const count = (roomId: string) => Object.keys(rooms[roomId]?.sessions ?? {}).length;
      for (const stays of ['!r0:hs1', '!r2:hs1', '!r3:hs1', '!r4:hs1']) {
        expect(count(stays)).toBeGreaterThanOrEqual(KEYS / 5);
      }
      const all = Object.values(rooms).reduce(
        (sum, { sessions }) => sum + Object.keys(sessions).length,
        0,
      );
      // a name that came twice would be gone in the parsed text
      expect(text.match(/"first_message_index"/g)).toHaveLength(all);
      if (n % 2 === 0) expect(all).toBe(KEYS);
    }
    while (application.app.get(RoomKeysService).activity().restores > 0) await sleep(5);
  });

  it('that have no snapshot any more do not look whole when the backup goes away', async () => {
    const [alice, carol] = [application.client('alice'), application.client('carol')];
    await fill(alice);
    await carol.createBackup();
    // so many that some have to give their snapshot up
    const slow = await Promise.all(Array.from({ length: 12 }, () => slowRestore('alice')));
    await carol.get(ALL);
    await alice.delete('/version/1');
    const outcomes = await Promise.allSettled(slow.map(({ rest }) => rest()));
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') continue;
      expect(outcome.value.match(/"first_message_index"/g)).toHaveLength(KEYS);
    }
    expect(outcomes.some(({ status }) => status === 'rejected')).toBe(true);
  });
});
