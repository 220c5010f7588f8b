/** Proves that deleted keys leave the tables, also those that a process left behind when it ended, and no others. */
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, type MatrixClient, roomsBody } from '../support/matrix-client.js';
import { numberOf, query } from '../support/sql.js';

const batch = (count: number) =>
  roomsBody(
    Array.from({ length: count }, (_, n) => [`!r${n % 3}:hs1`, `s${n}`, keyData()] as const),
  );

describe.each(databases)('the sweeper on $name', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let alice: MatrixClient;
  let bob: MatrixClient;

  beforeEach(async () => {
    database = await create();
    application = await startApplication(database);
    alice = application.client('alice');
    bob = application.client('bob');
    for (const client of [alice, bob]) {
      await client.createBackup();
      await client.put('/keys?version=1', batch(1200));
    }
  });
  afterEach(async () => {
    await application.close();
    await database.drop();
  });

  const count = async (table: string) => {
    return numberOf(application.dataSource, `SELECT COUNT(*) AS count FROM room_keys_${table}`);
  };
  /** Until the sweeper is through, which nothing but the tables tells. */
  const swept = async () => {
    while ((await count('key_sets')) !== 2 && (await count('keys')) !== 1200)
      await new Promise(setImmediate);
    while (
      (await numberOf(
        application.dataSource,
        'SELECT COUNT(*) FROM room_keys_key_sets WHERE retired_at IS NOT NULL',
      )) > 0
    ) {
      await new Promise(setImmediate);
    }
  };

  it('removes the rows of all keys that were deleted', async () => {
    expect((await alice.delete('/keys?version=1')).body.count).toBe(0);
    await swept();
    expect(await count('keys')).toBe(1200);
    expect(await count('rooms')).toBe(3);
    expect((await bob.get('/version')).body.count).toBe(1200);
    expect(Object.keys((await bob.get('/keys?version=1')).body.rooms as object)).toHaveLength(3);
  });

  it('removes the rows of a deleted backup, and leaves what is stored meanwhile', async () => {
    await alice.createBackup();
    await alice.put('/keys?version=2', batch(10));
    await alice.delete('/version/1');
    await swept();
    expect(await count('keys')).toBe(1210);
    expect((await alice.get('/version')).body).toMatchObject({ version: '2', count: 10 });
  });

  it('goes on after a restart with what was left', async () => {
    await query(
      application.dataSource,
      'UPDATE room_keys_key_sets SET retired_at = 1 WHERE key_set_id = (SELECT key_set_id FROM room_keys_backups WHERE user_id = ?)',
      [Buffer.from('@alice:hs1')],
    );
    await query(application.dataSource, 'DELETE FROM room_keys_backups WHERE user_id = ?', [
      Buffer.from('@alice:hs1'),
    ]);
    await application.close();
    application = await startApplication(database);
    bob = application.client('bob');
    await swept();
    expect(await count('keys')).toBe(1200);
    expect((await bob.get('/version')).body.count).toBe(1200);
  });
});
