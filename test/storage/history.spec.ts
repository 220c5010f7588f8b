/** Proves that the history of backups is bounded in rows and in time, that it can be off, and that erasing leaves one line. */
import { RoomKeysMaintenance } from '../../src/operations/index.js';
import { RetiredKeysSweeper } from '../../src/room-keys/storage/retired-keys.sweeper.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, keyPath } from '../support/matrix-client.js';
import { numberOf, query } from '../support/sql.js';

const ALICE = '@alice:hs1';
const DAY_MS = 86_400_000;

describe.each(databases)('the history of backups on $name', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;

  beforeEach(async () => {
    database = await create();
  });
  afterEach(async () => {
    await application.close();
    await database.drop();
  });

  const start = async (options = {}) => (application = await startApplication(database, options));
  const count = () =>
    numberOf(application.dataSource, 'SELECT COUNT(*) AS n FROM room_keys_history');
  const insert = (entryNo: number, at: number) =>
    query(
      application.dataSource,
      `INSERT INTO room_keys_history (user_id, entry_no, happened_at, what, key_count) VALUES (?, ?, ?, ?, 0)`,
      [Buffer.from(ALICE), entryNo, at, Buffer.from('auth_data')],
    );
  const history = () => new RoomKeysMaintenance(application.dataSource).history(ALICE);

  it('keeps 1,000 entries of a user, and none of uploads and single keys', async () => {
    await start();
    const phone = application.client('alice/PHONE');
    await phone.createBackup();
    const path = `${keyPath('!secret-room:hs1', 'secret-session')}?version=1`;
    await phone.put(path, keyData());
    await phone.delete(path);
    expect(await count()).toBe(1);
    const rows = await query(application.dataSource, 'SELECT * FROM room_keys_history');
    expect(JSON.stringify(rows)).not.toMatch(/secret/);

    await insert(999, Date.now());
    await insert(1000, Date.now());
    await phone.delete('/version/1');
    await phone.createBackup();
    expect((await history()).map(({ what }) => what)).toEqual([
      'auth_data',
      'auth_data',
      'deleted',
      'created',
    ]);
  });

  it('is removed by age', async () => {
    await start({ historyDays: 30 });
    await insert(1, Date.now() - 31 * DAY_MS);
    await insert(2, Date.now() - 30 * DAY_MS - 1000);
    await insert(3, Date.now() - 29 * DAY_MS);
    application.app.get(RetiredKeysSweeper).wake();
    while ((await count()) > 1) await new Promise((resolve) => setTimeout(resolve, 5));
    application.app.get(RetiredKeysSweeper).wake();
    await application.client('alice').createBackup();
    expect(await count()).toBe(2);
  });

  it('is not written where it is off, and what there was goes', async () => {
    await start({ historyDays: 0 });
    await insert(1, Date.now() - 1000);
    await application.client('alice').createBackup();
    await application.client('alice').delete('/version/1');
    while ((await count()) > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  });

  it('has one line of a user who was erased, however often', async () => {
    await start();
    const maintenance = application.app.get(RoomKeysMaintenance);
    await maintenance.eraseUser(ALICE);
    expect(await count()).toBe(0);
    await application.client('alice/PHONE').createBackup();
    await maintenance.eraseUser(ALICE);
    const [line] = await history();
    await maintenance.eraseUser(ALICE);
    expect(await history()).toEqual([line]);
    expect(line).toMatchObject({ what: 'erased', count: 0, deviceId: undefined });
  });
});
