/**
 * Proves that a host can delete keys, backups and users in a transaction of its own: they are gone when it commits, and
 * there when it rolls back, whatever it saw of the database before, and nothing waits for itself.
 */
import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import { RoomKeysService, RoomKeysTransactionConflictError } from '../../src/index.js';
import { RoomKeysMaintenance } from '../../src/operations/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, type MatrixClient, roomsBody } from '../support/matrix-client.js';

const NOBODY = '@nobody-else:hs1';

describe.each(databases)('a transaction of the host’s on $name', ({ name, create }) => {
  const isSqlite = name === 'SQLite';
  let database: TestDatabase;
  let application: TestApplication;
  let dataSource: DataSource;
  let service: RoomKeysService;
  let maintenance: RoomKeysMaintenance;
  let users = 0;

  beforeAll(async () => {
    database = await create();
    application = await startApplication(database);
    ({ dataSource } = application);
    service = application.app.get(RoomKeysService);
    maintenance = application.app.get(RoomKeysMaintenance);
    await dataSource.query('CREATE TABLE accounts (id integer)');
  });
  afterAll(async () => {
    await application.close();
    await database.drop();
  });

  /** A user with a backup of three keys in two rooms. */
  async function someone(): Promise<{ userId: string; client: MatrixClient }> {
    const token = `u${++users}`;
    const client = application.client(token);
    await client.createBackup();
    const ids = [
      ['!a:hs1', 's1'],
      ['!a:hs1', 's2'],
      ['!b:hs1', 's1'],
    ] as const;
    await client.put('/keys?version=1', roomsBody(ids.map(([r, s]) => [r, s, keyData()] as const)));
    return { userId: `@${token}:hs1`, client };
  }

  const accounts = async () =>
    Number((await dataSource.query<{ n: unknown }[]>('SELECT COUNT(*) AS n FROM accounts'))[0]!.n);
  const count = async (client: MatrixClient) =>
    ((await client.get('/version')).body as { count?: number }).count;
  const waiting = async () =>
    (
      await dataSource.query<unknown[]>(
        'SELECT 1 FROM room_keys_key_sets WHERE retired_at IS NOT NULL',
      )
    ).length;

  type Call = (userId: string, transaction: EntityManager | QueryRunner) => Promise<unknown>;
  const calls: [string, Call, after: number | undefined][] = [
    ['eraseUser', (userId, t) => maintenance.eraseUser(userId, t), undefined],
    ['deleteBackup', (userId, t) => service.deleteBackup(userId, '1', t), undefined],
    ['deleteKeys of all', (userId, t) => service.deleteKeys(userId, '1', {}, t), 0],
    [
      'deleteKeys of a room',
      (userId, t) => service.deleteKeys(userId, '1', { roomId: '!a:hs1' }, t),
      1,
    ],
    [
      'deleteKeys of a session',
      (userId, t) => service.deleteKeys(userId, '1', { roomId: '!a:hs1', sessionId: 's1' }, t),
      2,
    ],
  ];

  it.each(calls)('has %s take effect when it commits', async (_, call, after) => {
    const { userId, client } = await someone();
    const before = await accounts();
    await dataSource.transaction(async (manager) => {
      await manager.query('INSERT INTO accounts VALUES (1)');
      await call(userId, manager);
      // readers see it only then
      if (!isSqlite) expect(await count(client)).toBe(3);
    });
    expect(await accounts()).toBe(before + 1);
    expect(await count(client)).toBe(after);
  });

  it.each(calls)('has %s undone when it rolls back', async (_, call) => {
    const { userId, client } = await someone();
    const before = await accounts();
    const runner = dataSource.createQueryRunner();
    await runner.startTransaction();
    await runner.query('INSERT INTO accounts VALUES (1)');
    await call(userId, runner);
    await runner.rollbackTransaction();
    await runner.release();
    expect(await accounts()).toBe(before);
    expect(await count(client)).toBe(3);
    expect((await client.get('/keys?version=1')).body).toHaveProperty(['rooms', '!a:hs1']);
  });

  it('has the rows removed after its commit', async () => {
    const { userId } = await someone();
    await dataSource.transaction((manager) => maintenance.eraseUser(userId, manager));
    while ((await waiting()) > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    // and leaves nothing behind that listens
    expect(dataSource.subscribers).toEqual([]);
  });

  it('goes on after a call that found nothing', async () => {
    const before = await accounts();
    await dataSource.transaction(async (manager) => {
      await manager.query('INSERT INTO accounts VALUES (1)');
      await expect(service.deleteBackup(NOBODY, '1', manager)).rejects.toMatchObject({
        body: { errcode: 'M_NOT_FOUND' },
      });
      await maintenance.eraseUser(NOBODY, manager);
    });
    expect(await accounts()).toBe(before + 1);
  });

  it.each([
    ['an EntityManager outside of a transaction', () => dataSource.manager],
    ['a QueryRunner before startTransaction', () => dataSource.createQueryRunner()],
  ])('is not what it is without one: %s', async (_, transaction) => {
    await expect(maintenance.eraseUser(NOBODY, transaction())).rejects.toThrow(
      'there is no transaction to join',
    );
  });

  it('of another DataSource is refused', async () => {
    const other = await create();
    const stranger = await startApplication(other);
    try {
      await stranger.dataSource.transaction(async (manager) => {
        await expect(maintenance.eraseUser(NOBODY, manager)).rejects.toThrow('another DataSource');
      });
    } finally {
      await stranger.close();
      await other.drop();
    }
  });

  if (isSqlite) {
    it('that is not passed on is reported at once, and blocks no other', async () => {
      const { userId, client } = await someone();
      const begun = performance.now();
      await dataSource.transaction(async () => {
        for (const call of [
          () => maintenance.eraseUser(userId),
          () => service.deleteBackup(userId, '1'),
          () => service.deleteKeys(userId, '1'),
        ]) {
          await expect(call()).rejects.toThrow('pass its EntityManager');
        }
      });
      // the limit of a wait for the connection is 15 seconds each
      expect(performance.now() - begun).toBeLessThan(15_000);
      expect(await count(client)).toBe(3);
    });
    return;
  }

  describe.each(['READ COMMITTED', 'REPEATABLE READ'] as const)('at %s', (isolation) => {
    /** What happens in a transaction that saw the database before an upload of another server. */
    async function afterUpload(
      client: MatrixClient,
      call: (manager: EntityManager) => Promise<unknown>,
    ): Promise<unknown> {
      return dataSource
        .transaction(isolation, async (manager) => {
          await manager.query('SELECT COUNT(*) FROM room_keys_keys');
          await manager.query('SELECT COUNT(*) FROM accounts');
          await client.put('/keys?version=1', roomsBody([['!new:hs1', 's9', keyData()]]));
          await call(manager);
        })
        .catch((error: unknown) => error);
    }

    it.each<
      [string, (userId: string, manager: EntityManager) => Promise<unknown>, number | undefined]
    >([
      ['eraseUser', (userId, m) => maintenance.eraseUser(userId, m), undefined],
      ['deleteBackup', (userId, m) => service.deleteBackup(userId, '1', m), undefined],
      ['deleteKeys of all', (userId, m) => service.deleteKeys(userId, '1', {}, m), 0],
      [
        'of the room that came in',
        (userId, m) => service.deleteKeys(userId, '1', { roomId: '!new:hs1' }, m),
        3,
      ],
      [
        'of the session that came in',
        (userId, m) => service.deleteKeys(userId, '1', { roomId: '!new:hs1', sessionId: 's9' }, m),
        3,
      ],
    ])('%s decides by what is there now, or says that it cannot', async (_, call, after) => {
      const { userId, client } = await someone();
      const error = await afterUpload(client, (manager) => call(userId, manager));
      if (error === undefined) {
        expect(await count(client)).toBe(after);
        if (after !== undefined) {
          const restored = (await client.get('/keys?version=1')).body as { rooms: object };
          expect(JSON.stringify(restored).match(/first_message_index/g)?.length ?? 0).toBe(after);
        }
      } else {
        // a snapshot that is out of date is a conflict in some databases
        expect(error).toBeInstanceOf(RoomKeysTransactionConflictError);
        expect(isolation).toBe('REPEATABLE READ');
        expect(await count(client)).toBe(4);
      }
    });
  });

  it('that waits for another one too long gets one named error, and can roll back', async () => {
    const { userId, client } = await someone();
    const holder = dataSource.createQueryRunner();
    await holder.startTransaction();
    await maintenance.eraseUser(userId, holder);
    const impatient = dataSource.createQueryRunner();
    await impatient.startTransaction();
    const isMysql = name !== 'PostgreSQL';
    await impatient.query(
      isMysql ? 'SET SESSION innodb_lock_wait_timeout = 1' : "SET LOCAL lock_timeout = '100ms'",
    );
    await expect(service.deleteKeys(userId, '1', {}, impatient)).rejects.toBeInstanceOf(
      RoomKeysTransactionConflictError,
    );
    await impatient.rollbackTransaction();
    if (isMysql) await impatient.query('SET SESSION innodb_lock_wait_timeout = DEFAULT');
    await impatient.release();
    await holder.rollbackTransaction();
    await holder.release();
    expect(await count(client)).toBe(3);
  });

  it('waits in no queue of the module’s', async () => {
    const { userId, client } = await someone();
    // the user's place is taken for as long as this lock is held
    const holder = dataSource.createQueryRunner();
    await holder.startTransaction();
    await service.deleteKeys(userId, '1', { roomId: '!b:hs1' }, holder);
    const upload = client.put('/keys?version=1', roomsBody([['!c:hs1', 's', keyData()]]));
    while (service.activity().transactionsWaiting === 0) {
      void service.deleteKeys(userId, '1', { roomId: '!none:hs1' }, null).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await service.deleteKeys(userId, '1', { roomId: '!a:hs1' }, holder);
    await holder.commitTransaction();
    await holder.release();
    expect((await upload).body).toMatchObject({ count: 1 });
  });
});
