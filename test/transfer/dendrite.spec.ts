/**
 * Proves what an import makes of Dendrite's tables, in the form that its source has: versions from one
 * sequence for all users, versions of keys and etags that are text. No running Dendrite was tried.
 */
import {
  type RoomKeysImportOptions,
  RoomKeysTransfer,
  type RoomKeysTransferProgress,
} from '../../src/operations/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { HomeserverTables } from './homeserver-tables.js';

const ALICE = '@alice:hs1';
const BOB = '@bob:hs1';

describe.each(databases)('an import of Dendrite into $name', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let source: HomeserverTables;

  beforeAll(async () => {
    database = await create();
    application = await startApplication(database);
    source = new HomeserverTables('dendrite');
  });
  afterAll(async () => {
    source.drop();
    await application.close();
    await database.drop();
  });

  const run = (options: RoomKeysImportOptions = {}) =>
    new RoomKeysTransfer(application.dataSource).importHomeserver('dendrite', source.file, options);
  const info = async (name: string) => (await application.client(name).get('/version')).body;

  it('keeps versions and numeric etags, counts from 0 without one, and follows deletions on request', async () => {
    source
      .backup(ALICE, 1, { etag: '12', deleted: 1 })
      .backup(BOB, 2, { etag: '' })
      .backup(ALICE, 5, { etag: '7' })
      .keys(ALICE, '5', 1100)
      .keys(ALICE, '1', 3);
    let last: RoomKeysTransferProgress | undefined;
    expect(await run({ onProgress: (state) => (last = state) })).toMatchObject({
      backups: { created: 2 },
      keys: { read: 1100, written: 1100 },
      verified: { backups: 2, keys: 1100 },
      issues: {},
    });
    // those of the deleted version, which Dendrite keeps, are passed over
    expect(last).toMatchObject({ keys: 1103, keysInAll: 1103 });
    expect(await info('alice')).toMatchObject({ version: '5', etag: '7', count: 1100 });
    expect(await info('bob')).toMatchObject({ version: '2', etag: '0', count: 0 });
    expect(await run()).toMatchObject({ backups: { unchanged: 2 }, keys: { written: 0 } });
    source.keys(BOB, '2', 2).change(BOB, 2, "etag = '1'").change(ALICE, 5, 'deleted = 1');
    expect(await run({ followDeletions: true })).toMatchObject({
      backups: { merged: 1, deleted: 1 },
    });
    expect(await info('bob')).toMatchObject({ etag: '1', count: 2 });
    expect(await info('alice')).toMatchObject({ errcode: 'M_NOT_FOUND' });
  });

  it('reports keys whose version is missing', async () => {
    source.keys(BOB, '77', 2).keys(BOB, 'none', 1);
    expect(await run({ userId: BOB })).toMatchObject({
      keys: { skipped: 3 },
      issues: { 'orphaned-keys': 2 },
    });
  });

  it('finds the tables under their older names', async () => {
    const older = new HomeserverTables('dendrite');
    try {
      older.backup('@carol:hs1', 9, { etag: '1' }).keys('@carol:hs1', '9', 1);
      older.run('ALTER TABLE userapi_key_backup_versions RENAME TO account_e2e_room_keys_versions');
      older.run('ALTER TABLE userapi_key_backups RENAME TO account_e2e_room_keys');
      const transfer = new RoomKeysTransfer(application.dataSource);
      expect(await transfer.importHomeserver('dendrite', older.file)).toMatchObject({
        backups: { created: 1 },
      });
      await expect(transfer.importHomeserver('synapse', older.file)).rejects.toThrow(
        /does not have the tables and columns/,
      );
    } finally {
      older.drop();
    }
  });
});
