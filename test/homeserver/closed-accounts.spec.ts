/**
 * Proves that the backups of users whom a real Synapse has deactivated are erased, and those of nobody else, whether its
 * database is read or its admin API is asked.
 */
import {
  type RoomKeysAccountSource,
  type RoomKeysClosedAccount,
  RoomKeysClosedAccounts,
  RoomKeysMaintenance,
} from '../../src/operations/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, roomsBody } from '../support/matrix-client.js';
import { call, register, testHomeserver, testHomeserverDatabase } from './synapse.js';

const homeserver = testHomeserver();
const from = testHomeserverDatabase();
const USERS = 100;
const CLOSED = 20;

(homeserver && from ? describe : describe.skip)('closed accounts of a real Synapse', () => {
  let userIds: string[];
  let closed: string[];
  let adminToken: string;
  let reactivate: (userId: string) => Promise<void>;

  beforeAll(async () => {
    const admin = await register(homeserver!, 'admin');
    adminToken = admin.access_token;
    const run = admin.user_id.slice(1, admin.user_id.indexOf(':'));
    const put = async (userId: string, body: object) => {
      const path = `/_synapse/admin/v2/users/${encodeURIComponent(userId)}`;
      const { status, text } = await call(homeserver!, adminToken, 'PUT', path, body);
      if (status >= 300) throw new Error(`${path}: ${status} ${text}`);
    };
    userIds = Array.from({ length: USERS }, (_, n) => `@${run}-${n}/_=.:hs1`);
    for (let n = 0; n < USERS; n += 5)
      await Promise.all(userIds.slice(n, n + 5).map((userId) => put(userId, {})));
    closed = userIds.filter((_, n) => n % 5 === 0);
    for (const [n, userId] of closed.entries()) {
      const path = `/_synapse/admin/v1/deactivate/${encodeURIComponent(userId)}`;
      const { status } = await call(homeserver!, adminToken, 'POST', path, { erase: n % 2 === 0 });
      expect(status).toBe(200);
    }
    reactivate = (userId) => put(userId, { deactivated: false, password: 'new' });
    // neither of these is closed
    await put(userIds[1]!, { locked: true });
    const suspend = `/_synapse/admin/v1/suspend/${encodeURIComponent(userIds[2]!)}`;
    const { status } = await call(homeserver!, adminToken, 'PUT', suspend, { suspend: true });
    expect(status).toBe(200);
  });

  const sources: [string, () => RoomKeysAccountSource][] = [
    ['its database', () => ({ database: from! })],
    ['its admin API', () => ({ homeserverUrl: homeserver!.url, adminToken })],
  ];
  describe.each(databases)('on $name', ({ name, create }) => {
    // what a database stores does not depend on how Synapse was asked
    describe.each(name === 'SQLite' ? sources : sources.slice(0, 1))('by %s', (_, source) => {
      let database: TestDatabase;
      let application: TestApplication;
      let erasure: RoomKeysClosedAccounts;
      let keptOnly: string;

      const stored = async () => {
        const found: string[] = [];
        for await (const page of new RoomKeysMaintenance(application.dataSource).storedUsers())
          for (const { userId, backups, keys, kept } of page) {
            const expected = userId === keptOnly ? [0, 0, 1] : [1, 2, 0];
            expect([backups, keys, kept]).toEqual(expected);
            found.push(userId);
          }
        return found.sort();
      };
      const fill = async (users: readonly string[]) => {
        for (const user of users) {
          const client = application.client(user);
          const version = await client.createBackup();
          const keys = ['s1', 's2'].map((session) => ['!r:hs1', session, keyData()] as const);
          await client.put(`/keys?version=${version}`, roomsBody(keys));
        }
      };

      beforeAll(async () => {
        database = await create();
        application = await startApplication(database, {
          rateLimit: false,
          keepDeletedDays: 7,
          verifyAccessToken: (userId) => ({ userId }),
        });
        erasure = new RoomKeysClosedAccounts(application.dataSource);
        await fill(userIds);
        // deleted before the account was closed, and could still be restored
        keptOnly = closed[0]!;
        await application.client(keptOnly).delete('/version/1');
      });
      afterAll(async () => {
        await application.close();
        await database.drop();
      });

      it('erases no user in a dry run, and lists those that would be erased', async () => {
        const named: RoomKeysClosedAccount[] = [];
        const result = await erasure.erase(source(), {
          maxShare: 0.2,
          dryRun: true,
          onUser: (user) => named.push(user),
        });
        expect(result).toEqual({
          users: { open: USERS - CLOSED, closed: CLOSED, unknown: 0, ofOtherServers: 0 },
          erased: { users: 0, backups: 0, keys: 0 },
          refusal: undefined,
        });
        expect(named.map(({ userId }) => userId).sort()).toEqual([...closed].sort());
        expect(named[1]).toMatchObject({ outcome: 'would-be-erased', backups: 1, keys: 2 });
        expect(await stored()).toEqual([...userIds].sort());
      });

      it('erases no user if the allowed share is smaller', async () => {
        const result = await erasure.erase(source(), { maxShare: 0.19 });
        expect(result.refusal).toMatch(/^20 of 100 users would be erased/);
        expect(await stored()).toEqual([...userIds].sort());
      });

      it('erases exactly those that are deactivated, once', async () => {
        expect(await erasure.erase(source(), { maxShare: 0.2 })).toMatchObject({
          users: { open: USERS - CLOSED, closed: CLOSED },
          erased: { users: CLOSED, backups: CLOSED - 1, keys: 2 * (CLOSED - 1) },
          refusal: undefined,
        });
        const left = userIds.filter((userId) => !closed.includes(userId)).sort();
        expect(await stored()).toEqual(left);
        expect((await application.client(closed[1]!).get('/version')).status).toBe(404);
        expect(await erasure.erase(source())).toMatchObject({
          users: { open: USERS - CLOSED, closed: 0 },
          erased: { users: 0 },
        });
      });

      it('keeps users that it does not know, by default', async () => {
        const before = await stored();
        await fill(['@nobody-at-all:hs1']);
        expect(await erasure.erase(source())).toMatchObject({
          users: { unknown: 1 },
          erased: { users: 0 },
        });
        expect(await stored()).toContain('@nobody-at-all:hs1');
        expect(await erasure.erase(source(), { eraseUnknown: true })).toMatchObject({
          erased: { users: 1 },
        });
        expect(await stored()).toEqual(before);
      });

      it('refuses where users are of another server, or none is known', async () => {
        const before = await stored();
        await fill(['@a:hs2', '@b:sub.hs1', '@c:hs1:8448']);
        const others = await erasure.erase(source());
        expect(others.refusal).toMatch(/whose server is not hs1/);
        expect((await erasure.erase(source(), { serverName: 'hs2' })).refusal).toBe(
          'The homeserver is hs1, not hs2. Check the homeserver and --server-name.',
        );
        expect(await erasure.erase(source(), { serverName: 'hs1' })).toMatchObject({
          users: { open: USERS - CLOSED, closed: 0, unknown: 0, ofOtherServers: 3 },
          refusal: undefined,
        });
        const maintenance = new RoomKeysMaintenance(application.dataSource);
        for (const userId of [...before, '@a:hs2', '@b:sub.hs1', '@c:hs1:8448'])
          await maintenance.eraseUser(userId);
        await fill(['@nobody-at-all:hs1']);
        const unknown = await erasure.erase(source(), { eraseUnknown: true, maxShare: 1 });
        expect(unknown.refusal).toMatch(/knows none of the users/);
        expect(await stored()).toEqual(['@nobody-at-all:hs1']);
      });
    });
  });

  it('keeps a user who was reactivated', async () => {
    const database = await databases[0]!.create();
    const application = await startApplication(database, {
      verifyAccessToken: (userId) => ({ userId }),
    });
    try {
      const [back, gone] = closed as [string, string];
      for (const user of [back, gone]) await application.client(user).createBackup();
      await reactivate(back);
      const named: unknown[] = [];
      await new RoomKeysClosedAccounts(application.dataSource).erase(
        { homeserverUrl: homeserver!.url, adminToken },
        { maxShare: 1, onUser: (user) => named.push(user) },
      );
      expect(named).toEqual([
        { userId: gone, account: 'closed', outcome: 'erased', backups: 1, keys: 0, kept: 0 },
      ]);
    } finally {
      await application.close();
      await database.drop();
    }
  });
});
