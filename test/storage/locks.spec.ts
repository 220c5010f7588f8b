/**
 * Proves that whatever changes a backup waits for whoever has locked its user, so that no two changes
 * to a user's backups are ever under way at once; and that what only reads, or writes nothing, waits
 * for nobody. Here the lock is held for as long as the test likes: nothing has to meet by chance.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { RoomKeysMaintenance } from '../../src/operations/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { serverDatabases, type TestDatabase } from '../support/databases.js';
import { keyData, keyPath, type MatrixClient, roomsBody } from '../support/matrix-client.js';

const STORED = keyData({ first_message_index: 5 });
const BETTER = keyData({ first_message_index: 1 });
const ROOM = keyPath('!r:hs1');
const KEY = keyPath('!r:hs1', 's');
const INFORMATION = {
  algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2',
  auth_data: { public_key: 'other' },
};

/** Long after any of them has answered that need not wait. */
const LONG_MS = 2000;

type Request = (client: MatrixClient) => Promise<{ status: number }>;

/** Each is one of a user of its own, who has the backup 1 with one key. */
const CHANGES: Record<string, Request> = {
  'POST version': (client) => client.post('/version', INFORMATION),
  'PUT version': (client) => client.put('/version/1', INFORMATION),
  'DELETE version': (client) => client.delete('/version/1'),
  'PUT keys, a new one': (client) =>
    client.put('/keys?version=1', roomsBody([['!r:hs1', 'new', STORED]])),
  'PUT key, a better one': (client) => client.put(`${KEY}?version=1`, BETTER),
  'DELETE keys': (client) => client.delete('/keys?version=1'),
  'DELETE keys of a room': (client) => client.delete(`${ROOM}?version=1`),
  'DELETE key': (client) => client.delete(`${KEY}?version=1`),
};

const NO_CHANGES: Record<string, Request> = {
  'GET version': (client) => client.get('/version'),
  'GET version 1': (client) => client.get('/version/1'),
  'GET keys': (client) => client.get('/keys?version=1'),
  'GET keys of a room': (client) => client.get(`${ROOM}?version=1`),
  'GET key': (client) => client.get(`${KEY}?version=1`),
  'PUT keys, the same again': (client) =>
    client.put('/keys?version=1', roomsBody([['!r:hs1', 's', STORED]])),
  'PUT key, a worse one': (client) =>
    client.put(`${KEY}?version=1`, keyData({ first_message_index: 9 })),
};

// SQLite has one writer at a time, and waits for another process in the middle of everything
describe.each(serverDatabases)('the lock of a user on $name', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let other: DataSource;

  beforeAll(async () => {
    database = await create();
    application = await startApplication(database);
    other = await new DataSource(database.dataSourceOptions).initialize();
  });
  afterAll(async () => {
    await other.destroy();
    await application.close();
    await database.drop();
  });

  let users = 0;
  const userWithKey = async () => {
    const client = application.client(`user${(users += 1)}`);
    await client.createBackup();
    await client.put(`${KEY}?version=1`, STORED);
    return client;
  };

  /** Locks all users; returns what ends that. */
  const lockUsers = async () => {
    const holder = other.createQueryRunner();
    await holder.query('START TRANSACTION');
    await holder.query('SELECT * FROM room_keys_users FOR UPDATE');
    return async () => {
      await holder.query('ROLLBACK');
      await holder.release();
    };
  };

  it('is waited for by whatever changes a backup', async () => {
    const answered: string[] = [];
    const requests: [what: string, request: Request, client: MatrixClient][] = [];
    for (const [what, request] of Object.entries(CHANGES)) {
      requests.push([what, request, await userWithKey()]);
    }
    const unlock = await lockUsers();
    const answers = requests.map(async ([what, request, client]) => {
      const { status } = await request(client);
      answered.push(what);
      return [what, status];
    });
    await sleep(LONG_MS);
    const early = [...answered];
    await unlock();

    expect(await Promise.all(answers)).toEqual(requests.map(([what]) => [what, 200]));
    expect(early).toEqual([]);
  });

  it('is waited for by the erasure of a user', async () => {
    await userWithKey();
    const unlock = await lockUsers();
    const erasure = application.app.get(RoomKeysMaintenance).eraseUser(`@user${users}:hs1`);
    const first = await Promise.race([erasure.then(() => 'erased'), sleep(LONG_MS, 'waits')]);
    await unlock();

    await erasure;
    expect(first).toBe('waits');
  });

  it.each(Object.entries(NO_CHANGES))('is not waited for by %s', async (_what, request) => {
    const client = await userWithKey();
    const unlock = await lockUsers();
    try {
      expect((await request(client)).status).toBe(200);
    } finally {
      await unlock();
    }
  });
});
