/**
 * Proves that no request waits for a database that does not answer, that each is told 503 where no connection
 * is to be had, for whatever reason, that connections which lead nowhere are replaced, and that none goes
 * back to the pool in the middle of a transaction.
 */
import { DataSource } from 'typeorm';
import { RoomKeysMaintenance } from '../../src/operations/index.js';
import { Database } from '../../src/room-keys/storage/database/database.js';
import { timeouts } from '../../src/room-keys/storage/database/timeouts.js';
import { type Cable, layCable } from '../../server/test/operating/cable.js';
import { startApplication, type TestApplication } from '../support/application.js';
import {
  type DatabaseName,
  mysqlDatabases,
  serverDatabases,
  type TestDatabase,
  withOptions,
} from '../support/databases.js';
import { keyData, keyPath, type MatrixClient, roomsBody } from '../support/matrix-client.js';
import { countConnections } from '../support/waiting.js';

const POOL_SIZE = 4;
const KEY = `${keyPath('!r:hs1', 's')}?version=1`;

/** Enough for a busy machine to make a connection, and less than this module waits for one. */
const CONNECT_MS = 5000;

/** Far more than any of it takes, far less than what it would take without a bound. */
const MOMENT_MS = 240_000;

type Refusals = [code: number | string, what: string][];
const mysqlRefusals: Refusals = [
  [1045, 'that the password is wrong'],
  [1927, 'that it was killed, which mysql2 has no name for'],
  [2003, 'that its server is away, which mysql2 has no name for'],
  [9001, 'that its server is away, in the words of ProxySQL'],
];
const REFUSALS: Record<DatabaseName, Refusals> = {
  SQLite: [],
  MariaDB: mysqlRefusals,
  MySQL: mysqlRefusals,
  PostgreSQL: [
    ['28P01', 'that the password is wrong'],
    ['53300', 'that there are too many connections'],
    ['57P03', 'that it does not take connections yet'],
    ['08P01', 'that its server is away, in the words of PgBouncer'],
    ['3D000', 'that the database is not there'],
  ],
};
const LOST: Record<DatabaseName, string> = {
  SQLite: '',
  MariaDB: 'PROTOCOL_CONNECTION_LOST',
  MySQL: 'PROTOCOL_CONNECTION_LOST',
  PostgreSQL: '08006',
};

describe.each(serverDatabases)('a database that does not answer: $name', ({ name, create }) => {
  let database: TestDatabase;
  let cable: Cable;
  let application: TestApplication;
  let alice: MatrixClient;
  const { requestMs, connectionMs } = timeouts;

  beforeEach(async () => {
    database = await create();
    cable = await layCable(database.url);
    application = await startApplication(
      withOptions(database, {
        url: cable.url,
        poolSize: POOL_SIZE,
        // a connection that is being made while the cable is cut comes to nothing soon
        extra: { connectTimeout: CONNECT_MS, connectionTimeoutMillis: CONNECT_MS },
      }),
    );
    alice = application.client('alice');
    await alice.createBackup();
    await alice.put(KEY, keyData({ first_message_index: 5 }));
  });
  afterEach(async () => {
    Object.assign(timeouts, { requestMs, connectionMs });
    await cable.close();
    await application.close();
    await database.drop();
  });

  const connections = () => Database.of(application.dataSource).activity.connections!;
  const allGivenBack = async () => {
    while (connections().used > 0) await new Promise(setImmediate);
    expect(connections().waiting).toBe(0);
  };

  it('a request outlasts InnoDB’s wait for a lock, and no proxy outlasts the request', () => {
    expect(timeouts.requestMs).toBeGreaterThan(50_000);
    expect(timeouts.requestMs).toBeLessThan(60_000);
  });

  it('however many requests arrive, each gets 503, and none keeps a connection', async () => {
    timeouts.requestMs = 1000;
    timeouts.connectionMs = 500;
    void cable.cut();
    const begun = performance.now();
    const answers = await Promise.all(
      Array.from({ length: 5 * POOL_SIZE }, (_, n) =>
        n % 2 ? alice.get('/version') : alice.put(KEY, keyData()),
      ),
    );
    expect(performance.now() - begun).toBeLessThan(MOMENT_MS);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]));
    for (const { headers } of answers) expect(headers.get('retry-after')).toMatch(/^\d+$/);
    cable.putBack();
    Object.assign(timeouts, { requestMs, connectionMs });
    await allGivenBack();
    expect(await alice.put(KEY, keyData({ first_message_index: 2 }))).toMatchObject({
      status: 200,
      body: { count: 1, etag: '2' },
    });
    expect(await countConnections(application.dataSource)).toBeLessThanOrEqual(POOL_SIZE);
  });

  it('a restore breaks off, and does not look whole', async () => {
    const keys = (from: number) =>
      roomsBody(
        Array.from({ length: 200 }, (_, n) => [
          '!r:hs1',
          `large${from + n}`,
          keyData({ session_data: { x: 'y'.repeat(60_000) } }),
        ]),
      );
    await alice.put('/keys?version=1', keys(0));
    await alice.put('/keys?version=1', keys(200));
    // enough for the statements before the cut
    timeouts.requestMs = 5000;
    const response = await fetch(`${alice.url}/_matrix/client/v3/room_keys/keys?version=1`, {
      headers: { Authorization: 'Bearer alice' },
    });
    expect(response.status).toBe(200);
    void cable.cut();
    await expect(response.text()).rejects.toThrow('terminated');
    cable.putBack();
    timeouts.requestMs = requestMs;
    expect((await alice.get('/keys?version=1')).status).toBe(200);
  });

  it('a restore whose connection is lost before its first key gets 503', async () => {
    const { logger } = application.dataSource;
    application.dataSource.logger = new Proxy(logger, {
      get: (target, name, receiver): unknown =>
        name === 'logQuery'
          ? (sql: string) => {
              if (/FROM \S*room_keys_backups/.test(sql)) cable.pull();
            }
          : Reflect.get(target, name, receiver),
    });
    const answer = await alice.get('/keys?version=1');
    application.dataSource.logger = logger;
    expect(answer).toMatchObject({ status: 503, body: { errcode: 'M_UNKNOWN' } });
    cable.putBack();
    expect((await alice.get('/keys?version=1')).status).toBe(200);
  });

  it('health checks, however frequent, do not use up the connections', async () => {
    const maintenance = new RoomKeysMaintenance(application.dataSource);
    void cable.cut();
    for (let n = 0; n < 2 * POOL_SIZE; n += 1) {
      await expect(maintenance.ping(20)).rejects.toMatchObject({
        code: expect.stringMatching(/^ROOM_KEYS_(NO_ANSWER|BUSY)$/) as string,
      });
    }
    cable.putBack();
    // those that were being made when it was put back come to nothing
    for (let up = false; !up;) {
      up = await maintenance.ping().then(
        () => true,
        () => false,
      );
    }
    expect((await alice.get('/version')).status).toBe(200);
  });

  it('a connection that comes too late for who wanted it is there for the next', async () => {
    const held = Array.from({ length: POOL_SIZE }, () =>
      application.dataSource.createQueryRunner(),
    );
    await Promise.all(held.map((runner) => runner.query('SELECT 1')));
    timeouts.connectionMs = 500;
    expect((await alice.get('/version')).status).toBe(503);
    timeouts.connectionMs = connectionMs;
    await Promise.all(held.map((runner) => runner.release()));
    expect((await alice.get('/version')).status).toBe(200);
    await allGivenBack();
  });

  it.each(REFUSALS[name])(
    'a connection that is refused with %s, %s, is told as 503',
    async (code) => {
      const errors: unknown[] = [];
      const ignore = () => undefined;
      application.app.useLogger({
        log: ignore,
        warn: ignore,
        error: (message: unknown) => errors.push(message),
      });
      cable.refuse(code);
      // until the pool knows that those it had are gone
      while (connections().used + connections().free > 0) await new Promise(setImmediate);
      for (const answer of [await alice.get('/version'), await alice.put(KEY, keyData())]) {
        expect(answer).toMatchObject({ status: 503, body: { errcode: 'M_UNKNOWN' } });
        expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
      }
      expect(errors).toHaveLength(2);
      for (const error of errors)
        expect(error).toMatch(
          new RegExp(`^The database is not available \\((.*refused by a proxy|${code}\\))`),
        );
      cable.putBack();
      expect((await alice.put(KEY, keyData({ first_message_index: 2 }))).status).toBe(200);
    },
  );

  it('a statement on a connection that was lost before it says so', async () => {
    const lost = Database.of(application.dataSource).change('@alice:hs1', async (connection) => {
      cable.pull();
      while (connections().used + connections().free > 0) await new Promise(setImmediate);
      // this one may still find the connection half closed
      await connection.rows('SELECT 1').catch(() => undefined);
      await connection.rows('SELECT 1');
    });
    await expect(lost).rejects.toMatchObject({ code: LOST[name] });
    cable.putBack();
    expect((await alice.get('/version')).status).toBe(200);
  });
});

// pg knows no such limit
describe.each(mysqlDatabases)('a pool whose queue is full on $name', ({ create }) => {
  it('is one without an available connection', async () => {
    const database = await create();
    const extra = { connectionLimit: 1, queueLimit: 1 };
    const { dataSource, client, close } = await startApplication(withOptions(database, { extra }));
    const alice = client('alice');
    await alice.createBackup();
    const holder = dataSource.createQueryRunner();
    await holder.query('SELECT 1');
    const waiting = dataSource.query('SELECT 1');
    while (Database.of(dataSource).activity.connections!.waiting === 0)
      await new Promise(setImmediate);
    const refused = await alice.put(KEY, keyData());
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toMatch(/^\d+$/);
    await holder.release();
    await waiting;
    expect((await alice.put(KEY, keyData())).status).toBe(200);
    await close();
    await database.drop();
  });
});

describe.each(serverDatabases)(
  'a transaction that could not be rolled back on $name',
  ({ create }) => {
    it('is not what the next request finds itself in', async () => {
      const database = await create();
      const dataSource = await new DataSource(
        withOptions(database, { poolSize: 1 }).dataSourceOptions,
      ).initialize();
      await dataSource.query('CREATE TABLE numbers (n integer)');
      const { logger } = dataSource;
      dataSource.logger = new Proxy(logger, {
        get: (target, name, receiver): unknown =>
          name === 'logQuery'
            ? (sql: string) => {
                if (sql.startsWith('ROLLBACK')) throw new Error('no');
              }
            : Reflect.get(target, name, receiver),
      });
      try {
        const opened = Database.of(dataSource);
        await expect(
          opened.change('user', async (connection) => {
            await connection.execute('INSERT INTO numbers VALUES (1)');
            throw new Error('given up');
          }),
        ).rejects.toThrow('given up');
        await opened.change('user', (connection) =>
          connection.execute('INSERT INTO numbers VALUES (2)'),
        );
        expect(await dataSource.query('SELECT n FROM numbers')).toEqual([{ n: 2 }]);
      } finally {
        await dataSource.destroy();
        await database.drop();
      }
    });
  },
);
