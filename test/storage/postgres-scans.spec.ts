/**
 * Proves that PostgreSQL reads few rows for few keys, whatever it knows of its tables and whoever keeps old rows
 * alive: an upload into a large backup among small ones, and a sweep beside an old snapshot.
 */
import pg from 'pg';
import { RoomKeysMaintenance } from '../../src/operations/index.js';
import { RetiredKeysSweeper } from '../../src/room-keys/storage/retired-keys.sweeper.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, type MatrixClient, roomsBody } from '../support/matrix-client.js';

const KEYS = 3000;
const ALL = '/keys?version=1';
const postgres = databases.filter(({ name }) => name === 'PostgreSQL');

describe.each(postgres)('what is read on $name', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let alice: MatrixClient;
  /** A session beside those of the server. */
  let other: pg.Client;

  const start = async () => {
    application = await startApplication(database);
    // rows are removed when the test says so
    await application.app.get(RetiredKeysSweeper).onModuleDestroy();
    alice = application.client('alice');
  };
  beforeEach(async () => {
    database = await create();
    await start();
    await alice.createBackup();
    for (let n = 0; n < KEYS; n += 500) await alice.put(ALL, batch(n, 500));
    other = new pg.Client(database.url);
    await other.connect();
  });
  afterEach(async () => {
    await application.close();
    await other.end();
    await database.drop();
  });

  const batch = (from: number, count: number) =>
    roomsBody(
      Array.from({ length: count }, (_, n) => ['!room:hs1', `s${from + n}`, keyData()] as const),
    );

  const numberOf = async (sql: string) => {
    // in a transaction, what was once read of the statistics would stay
    await other.query('SELECT pg_stat_clear_snapshot()');
    const { rows } = await other.query<{ number: string }>(sql);
    return Number(rows[0]?.number);
  };
  /** Stops the server, whose sessions report what they have read when they end. */
  const entriesRead = async () => {
    await application.close();
    while (
      (await numberOf(
        `SELECT count(*) AS number FROM pg_stat_activity WHERE datname = current_database()
           AND backend_type = 'client backend' AND pid <> pg_backend_pid()`,
      )) > 0
    ) {
      await new Promise(setImmediate);
    }
    return numberOf(
      "SELECT sum(idx_tup_read) AS number FROM pg_stat_user_indexes WHERE relname = 'room_keys_keys'",
    );
  };
  /** How many entries of the indexes on keys `work` reads. */
  const entriesReadBy = async (work: () => Promise<unknown>) => {
    const before = await entriesRead();
    await start();
    await work();
    return (await entriesRead()) - before;
  };

  it('is a key of an upload, not its backup, though most backups are small', async () => {
    await other.query(
      `INSERT INTO room_keys_keys SELECT 1000 + n, 0, 0, substr(sha256(n::text::bytea), 1, 16), 'x', 0, 0, 0, NULL, '{}'
       FROM generate_series(1, 20000) n`,
    );
    await other.query('ANALYZE');
    const read = await entriesReadBy(async () => {
      expect((await alice.put(ALL, batch(0, 100))).body.count).toBe(KEYS);
    });
    expect(read).toBeGreaterThanOrEqual(100);
    expect(read).toBeLessThan(300);
  });

  it('is a row of a sweep once, though a snapshot keeps those that are deleted', async () => {
    await other.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    await other.query('SELECT 1 FROM room_keys_users');
    const read = await entriesReadBy(async () => {
      await alice.delete('/version/1');
      const { rows } = await application.app.get(RoomKeysMaintenance).sweep();
      expect(rows).toBe(KEYS);
    });
    expect(read).toBeGreaterThanOrEqual(KEYS);
    expect(read).toBeLessThan(1.5 * KEYS);
  });
});
