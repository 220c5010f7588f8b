/** Proves what each operation costs the database: how many statements, however many keys are stored. */
import { RoomKeysMaintenance } from '../../src/operations/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { serverDatabases, type TestDatabase } from '../support/databases.js';
import { keyData, keyPath, type MatrixClient, roomsBody } from '../support/matrix-client.js';
import { LOCK_STATEMENTS, recordStatements } from '../support/statements.js';

const batch = (from: number, count: number, fields: object = {}) =>
  roomsBody(
    Array.from(
      { length: count },
      (_, n) => [`!r${n % 6}:hs1`, `s${from + n}`, keyData(fields)] as const,
    ),
  );

/** What changes leave beside themselves: statements of a deletion, and of another change, that it takes. */
const LEFT = [
  { what: 'no history', options: { historyDays: 0 }, deletion: 0, other: 0 },
  { what: 'a history', options: {}, deletion: 2, other: 2 },
  {
    what: 'a history, and deletions that can be undone',
    options: { keepDeletedDays: 7 },
    deletion: 3,
    other: 2,
  },
];
const cases = serverDatabases.flatMap((database) => LEFT.map((left) => ({ ...database, ...left })));

describe.each(cases)('statements on $name with $what', ({ name, create, options, ...more }) => {
  /** MySQL and MariaDB change the counts of known rooms in the statement that changes the backup. */
  const rooms = name === 'PostgreSQL' ? 1 : 0;
  /** Those of a change beside the ones that lock the user. */
  const change = (others: number) => LOCK_STATEMENTS[name] + others;
  let database: TestDatabase;
  let application: TestApplication;
  let alice: MatrixClient;

  beforeAll(async () => {
    database = await create();
    application = await startApplication(database, options);
    alice = application.client('alice');
    await alice.createBackup();
  });
  afterAll(async () => {
    await application.close();
    await database.drop();
  });

  const costOf = async (action: () => Promise<{ status: number }>) => {
    const { byRunner, stop } = recordStatements(application.dataSource);
    expect((await action()).status).toBe(200);
    stop();
    // the sweeper, which may be at work meanwhile, never touches these two tables
    const own = [...byRunner.values()].filter((statements) =>
      statements.some((sql) => /room_keys_(users|backups)/.test(sql)),
    );
    return own.flat().length;
  };

  const known = change(5 + rooms);
  it(`an upload of 100 new keys takes ${change(6)} in new rooms, and ${known} in known ones, at any size of the backup`, async () => {
    expect(await costOf(() => alice.put('/keys?version=1', batch(0, 100)))).toBe(change(6));
    expect(await costOf(() => alice.put('/keys?version=1', batch(100, 100)))).toBe(known);
    expect(await costOf(() => alice.put('/keys?version=1', batch(200, 500)))).toBe(known);
    // several statements are not one consistent read, so these are looked for under the lock only
    expect(await costOf(() => alice.put('/keys?version=1', batch(1000, 501)))).toBe(known + 2);
    expect(await costOf(() => alice.put('/keys?version=1', batch(1501, 100)))).toBe(known);
  });

  it(`an upload of 100 keys that are all stored takes 1, and of better ones ${change(5)}`, async () => {
    await alice.put('/keys?version=1', batch(0, 100));
    expect(await costOf(() => alice.put('/keys?version=1', batch(0, 100)))).toBe(1);
    expect(
      await costOf(() => alice.put('/keys?version=1', batch(0, 100, { is_verified: true }))),
    ).toBe(change(5));
  });

  it('reading the current backup, any backup, or one key takes 1', async () => {
    await alice.put(`${keyPath('!r0:hs1', 's0')}?version=1`, keyData());
    expect(await costOf(() => alice.get('/version'))).toBe(1);
    expect(await costOf(() => alice.get('/version/1'))).toBe(1);
    expect(await costOf(() => alice.get(`${keyPath('!r0:hs1', 's0')}?version=1`))).toBe(1);
  });

  it('deleting all keys, or a backup, takes as many however many keys there are', async () => {
    const bob = application.client('bob');
    await bob.createBackup();
    await bob.put(`${keyPath('!r:hs1', 's')}?version=1`, keyData());
    const deleteFew = await costOf(() => bob.delete('/keys?version=1'));
    await bob.put('/keys?version=1', batch(0, 2000));
    expect(deleteFew).toBe(change(5 + more.deletion));
    expect(await costOf(() => bob.delete('/keys?version=1'))).toBe(deleteFew);
    expect(await costOf(() => bob.delete('/version/1'))).toBe(change(5 + more.deletion));
    // there is nothing to remember
    expect(await costOf(() => bob.delete('/version/1'))).toBe(change(3));
  });

  it('deleting one key takes as many with a history, and 2 more where it can be undone', async () => {
    await alice.put(`${keyPath('!r0:hs1', 's0')}?version=1`, keyData());
    const path = `${keyPath('!r0:hs1', 's0')}?version=1`;
    const undo = more.deletion === 3 ? 2 : 0;
    expect(await costOf(() => alice.delete(path))).toBe(change(5 + rooms + undo));
  });

  it('creating a backup, and changing its auth_data, takes 2 more with a history', async () => {
    const body = { algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2', auth_data: {} };
    const carol = application.client('carol');
    expect(await costOf(() => carol.post('/version', body))).toBe(6 + more.other);
    expect(await costOf(() => carol.put('/version/1', body))).toBe(change(3 + more.other));
  });

  it('erasing a user takes 9, and those of a history', async () => {
    const erase = async () => {
      await application.app.get(RoomKeysMaintenance).eraseUser('@alice:hs1');
      return { status: 200 };
    };
    // the history and what was deleted go by one statement each
    const kept = more.deletion === 3 ? 1 : 0;
    expect(await costOf(erase)).toBe(9 + more.other + kept);
  });
});
