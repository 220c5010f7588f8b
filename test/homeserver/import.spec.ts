/**
 * Proves that what a real, running Synapse has of its users arrives: its API is filled by requests, its
 * PostgreSQL is imported, and each read of our server is compared with the answer of Synapse's own.
 */
import { RoomKeysMaintenance, RoomKeysTransfer } from '../../src/operations/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, keyPath, MatrixClient, roomsBody } from '../support/matrix-client.js';
import { register, testHomeserver, testHomeserverDatabase, type TestUser } from './synapse.js';

const homeserver = testHomeserver();
const from = testHomeserverDatabase();

(homeserver && from ? describe : describe.skip).each(databases)(
  'an import of a real Synapse into $name',
  ({ create }) => {
    let database: TestDatabase;
    let application: TestApplication;
    let user: TestUser;
    let synapse: MatrixClient;
    let ours: MatrixClient;

    beforeAll(async () => {
      user = await register(homeserver!);
      synapse = new MatrixClient(homeserver!.url, user.access_token);
      database = await create();
      application = await startApplication(database, {
        verifyAccessToken: (token) =>
          token === user.access_token ? { userId: user.user_id } : null,
      });
      ours = application.client(user.access_token);
    });
    afterAll(async () => {
      await application.close();
      await database.drop();
    });

    const run = (changedOnly = false) =>
      new RoomKeysTransfer(application.dataSource).importHomeserver('synapse', from!, {
        userId: user.user_id,
        changedOnly,
        followDeletions: true,
      });
    const upload = async (version: string, keys: Parameters<typeof roomsBody>[0]) =>
      expect((await synapse.put(`/keys?version=${version}`, roomsBody(keys))).status).toBe(200);
    const many = (fromNumber: number, count: number) =>
      Array.from(
        { length: count },
        (_, n) =>
          [
            `!room${(fromNumber + n) % 9}:hs1`,
            `s/${fromNumber + n}+=`,
            keyData({ first_message_index: n % 5, is_verified: n % 3 === 0 }),
          ] as const,
      );

    const sameAnswers = async (...paths: string[]) => {
      for (const path of paths) {
        const [theirs, mine] = [await synapse.get(path), await ours.get(path)];
        expect({ path, status: mine.status }).toEqual({ path, status: theirs.status });
        if (theirs.status === 200)
          expect({ path, body: mine.body }).toEqual({ path, body: theirs.body });
        else expect(mine.body.errcode).toBe(theirs.body.errcode);
      }
    };
    const READS = [
      '/version',
      '/version/1',
      '/version/2',
      '/version/3',
      '/keys?version=1',
      '/keys?version=2',
      '/keys?version=3',
      `${keyPath('!room3:hs1')}&version=3`.replace('&', '?'),
      `${keyPath('!none:hs1')}?version=3`,
      `${keyPath('!room3:hs1', 's/3+=')}?version=3`,
      `${keyPath('!é😀:hs1', '__proto__')}?version=3`,
    ];

    it('gives the same answers, after a second import too, and after more uploads', async () => {
      await synapse.createBackup({
        public_key: 'one',
        signatures: { [user.user_id]: { é: '😀' } },
      });
      await upload('1', many(0, 5));
      await synapse.createBackup({ public_key: 'two' });
      await upload('2', many(0, 3));
      await synapse.delete('/version/2');
      await synapse.createBackup({ public_key: 'three' });
      await upload('3', many(0, 1500));
      await upload('3', many(1500, 1500));
      await upload('3', [
        ['!é😀:hs1', '__proto__', keyData({ session_data: { é: '😀"\\\u2028', n: [1.5, null] } })],
      ]);
      expect(await run()).toMatchObject({
        backups: { created: 2 },
        keys: { read: 3006, written: 3006 },
        verified: { backups: 2, keys: 3006 },
        issues: {},
      });
      await sameAnswers(...READS);
      expect(await run()).toMatchObject({ backups: { unchanged: 2 }, keys: { written: 0 } });
      expect(await run(true)).toMatchObject({ keys: { read: 0 } });
      await sameAnswers(...READS);

      await upload('3', many(3000, 100));
      await upload('3', [['!room3:hs1', 's/3+=', keyData({ is_verified: true })]]);
      await synapse.delete('/version/1');
      expect(await run(true)).toMatchObject({ backups: { merged: 1, deleted: 1 } });
      await sameAnswers(...READS);

      // no import removes a key; the etag is one that no client knows from Synapse
      const { etag, count } = (await ours.get('/version')).body;
      await synapse.delete(`${keyPath('!room3:hs1')}?version=3`);
      await run(true);
      const { body } = await ours.get('/version');
      expect(body.count).toBe(count);
      expect(Number(body.etag)).toBeGreaterThan(Number((await synapse.get('/version')).body.etag));
      expect(Number(body.etag)).toBeGreaterThan(Number(etag));
      expect(await run(true)).toMatchObject({ backups: { unchanged: 1 }, keys: { read: 0 } });

      await synapse.delete('/version/3');
      await run(true);
      await sameAnswers(...READS);
      expect(await ours.createBackup()).toBe('4');
      const findings = [];
      for await (const one of new RoomKeysMaintenance(application.dataSource).verify()) {
        findings.push(one);
      }
      expect(findings).toEqual([]);
    });
  },
);
