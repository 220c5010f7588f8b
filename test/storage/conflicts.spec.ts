/**
 * Proves that a transaction which the database gives up in favour of another is begun again until it
 * is through, whatever the database calls it: a deadlock, a duplicate key, a changed snapshot; and
 * that a request which cannot be served in time gets 503, with nothing stored.
 */
import { DataSource, type QueryRunner } from 'typeorm';
import type { RoomKeysConflictEvent } from '../../src/operations/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { type DatabaseName, databases, type TestDatabase } from '../support/databases.js';
import { keyData, keyPath, type MatrixClient, roomsBody } from '../support/matrix-client.js';
import { endSession, giveUpEarly, onEachConnection, waitingForLocks } from '../support/waiting.js';
import { asVictim } from '../support/deadlock.js';

const KEY = `${keyPath('!r:hs1', 's')}?version=1`;
const WORSE = keyData({ first_message_index: 5 });
const BETTER = keyData({ first_message_index: 1 });

/** What the databases call it; in SQLite, one writer at a time meets neither. */
const CODES: Record<DatabaseName, { deadlock?: string; duplicate?: string }> = {
  SQLite: {},
  MariaDB: { deadlock: 'ER_LOCK_DEADLOCK', duplicate: 'ER_DUP_ENTRY' },
  MySQL: { deadlock: 'ER_LOCK_DEADLOCK', duplicate: 'ER_DUP_ENTRY' },
  PostgreSQL: { deadlock: '40P01', duplicate: '23505' },
};

describe.each(databases)('conflicts on $name', ({ name, create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let alice: MatrixClient;
  let other: DataSource;
  /** Somebody who keeps to no order of locks, such as a person at a console. */
  let stranger: QueryRunner;
  let conflicts: RoomKeysConflictEvent[];

  beforeEach(async () => {
    conflicts = [];
    database = await create();
    application = await startApplication(database, {
      observe: (event) => {
        if (event.type === 'conflict') conflicts.push(event);
      },
    });
    alice = application.client('alice');
    await alice.createBackup();
    await alice.put(KEY, WORSE);
    other = await new DataSource(database.dataSourceOptions).initialize();
    stranger = other.createQueryRunner();
  });
  afterEach(async () => {
    await stranger.release();
    await other.destroy();
    await application.close();
    await database.drop();
  });

  /** Resolves when the application has locked alice's row, and so waits for what the stranger holds. */
  const uploadWaits = async () => {
    const probe = other.createQueryRunner();
    const isFree = () =>
      probe.query('SELECT * FROM room_keys_users FOR UPDATE NOWAIT').then(
        () => true,
        () => false,
      );
    await probe.query('START TRANSACTION');
    while (await isFree()) await probe.query('ROLLBACK AND CHAIN');
    await probe.query('ROLLBACK');
    await probe.release();
  };

  /** Resolves when the application writes keys, with the session that does: it waits for what the stranger holds. */
  const insertWaits = async () => {
    for (;;) {
      const [session] = await waitingForLocks(other, 'INSERT');
      if (session !== undefined) return session;
    }
  };

  it('a request that waits too long gets 503, and nothing is stored', async () => {
    const bePatient = giveUpEarly(application.dataSource);
    await stranger.query(name === 'SQLite' ? 'BEGIN IMMEDIATE' : 'BEGIN');
    await stranger.query('UPDATE room_keys_users SET last_version = last_version + 1');
    const answer = await alice.put(KEY, BETTER);
    await stranger.query('ROLLBACK');
    bePatient();

    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
    expect(answer.body.errcode).toBe('M_UNKNOWN');
    expect(conflicts.map(({ gaveUp }) => gaveUp).lastIndexOf(false)).toBe(conflicts.length - 2);
    expect(conflicts.at(-1)?.gaveUp).toBe(true);
    expect((await alice.get(KEY)).body).toEqual(WORSE);
    expect((await alice.get('/version')).body).toMatchObject({ count: 1, etag: '1' });
    expect((await alice.put(KEY, BETTER)).body).toEqual({ count: 1, etag: '2' });
  });

  // SQLite has one writer at a time: none of the others can be had there
  if (name === 'SQLite') return;

  it('an upload that is the victim of a deadlock is stored', async () => {
    const upload = await asVictim(database, () => alice.put(KEY, BETTER));

    expect(upload.body).toEqual({ count: 1, etag: '2' });
    expect(conflicts).toEqual([
      { type: 'conflict', code: CODES[name].deadlock, attempt: 1, gaveUp: false },
    ]);
    expect((await alice.get(KEY)).body).toEqual(BETTER);
  });

  it('an upload that waited while the keys changed is compared with what they are now', async () => {
    await stranger.query('START TRANSACTION');
    await stranger.query('SELECT * FROM room_keys_users FOR UPDATE');
    // better than the one that is stored as yet
    const upload = alice.put(KEY, keyData({ first_message_index: 3 }));
    while ((await waitingForLocks(other, 'SELECT')).length === 0);
    await stranger.query('UPDATE room_keys_keys SET first_message_index = 1');
    await stranger.query('UPDATE room_keys_backups SET etag = etag + 1');
    await stranger.query('COMMIT');

    expect((await upload).body).toEqual({ count: 1, etag: '2' });
    expect((await alice.get(KEY)).body).toMatchObject({ first_message_index: 1 });
    expect(conflicts).toEqual([]);
  });

  it('an upload whose new key is there all of a sudden is compared with it', async () => {
    // a key comes in past the lock, as it does where a node of a cluster hears of it late
    await stranger.query('CREATE TABLE aside AS SELECT * FROM room_keys_keys');
    await stranger.query('DELETE FROM room_keys_keys');
    await stranger.query('START TRANSACTION');
    await stranger.query('INSERT INTO room_keys_keys SELECT * FROM aside');
    const upload = alice.put(KEY, BETTER);
    await uploadWaits();
    await stranger.query('COMMIT');

    expect((await upload).body).toEqual({ count: 1, etag: '2' });
    expect(conflicts).toEqual([
      { type: 'conflict', code: CODES[name].duplicate, attempt: 1, gaveUp: false },
    ]);
    expect((await alice.get(KEY)).body).toEqual(BETTER);
  });

  it('an upload whose connection an operator ends gets 503, and nothing is stored', async () => {
    await stranger.query('START TRANSACTION');
    await stranger.query('UPDATE room_keys_keys SET device_id = NULL');
    const upload = alice.put(KEY, BETTER);
    await endSession(other, await insertWaits());
    const answer = await upload;
    await stranger.query('ROLLBACK');

    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
    expect((await alice.get(KEY)).body).toEqual(WORSE);
    expect((await alice.put(KEY, BETTER)).body).toEqual({ count: 1, etag: '2' });
  });

  if (name !== 'MariaDB') return;

  it('a request that waits longer than the statement timeout gets 503, and nothing is stored', async () => {
    onEachConnection(application.dataSource, 'SET SESSION max_statement_time = 0.5');
    await stranger.query('START TRANSACTION');
    await stranger.query('SELECT * FROM room_keys_users FOR UPDATE');
    const answer = await alice.put(KEY, BETTER);
    await stranger.query('ROLLBACK');

    expect(answer.status).toBe(503);
    expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
    expect((await alice.get(KEY)).body).toEqual(WORSE);
  });

  it('an upload whose snapshot is outdated is compared with what is new', async () => {
    const [variable] = (await stranger.query(
      "SHOW VARIABLES LIKE 'innodb_snapshot_isolation'",
    )) as unknown[];
    if (!variable) {
      process.stderr.write('This MariaDB is too old to refuse outdated snapshots.\n');
      return;
    }
    onEachConnection(application.dataSource, 'SET SESSION innodb_snapshot_isolation = ON');
    await stranger.query('START TRANSACTION');
    await stranger.query('UPDATE room_keys_keys SET first_message_index = 0');
    // more than one statement looks at: what is stored of them is read in the transaction
    const others = Array.from({ length: 500 }, (_, n) => ['!r:hs1', `${n}`, BETTER] as const);
    const upload = alice.put('/keys?version=1', roomsBody([...others, ['!r:hs1', 's', BETTER]]));
    // what is stored was read before
    await insertWaits();
    await stranger.query('COMMIT');

    expect((await upload).body).toEqual({ count: 501, etag: '2' });
    expect(conflicts).toEqual([
      { type: 'conflict', code: 'ER_CHECKREAD', attempt: 1, gaveUp: false },
    ]);
    expect((await alice.get(KEY)).body).toMatchObject({ first_message_index: 0 });
  });
});
