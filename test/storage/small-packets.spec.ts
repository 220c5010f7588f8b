/** Proves that a database which takes small statements only takes all that a client may upload, and an import bring. */
import mysql from 'mysql2/promise';
import { RoomKeysTransfer } from '../../src/operations/index.js';
import { killableDatabases } from '../reliability/killable-database.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { createOn, type TestDatabase } from '../support/databases.js';
import { keyData, roomsBody } from '../support/matrix-client.js';
import { HomeserverTables } from '../transfer/homeserver-tables.js';

/** What an upload is made of. */
const UPLOADS = [
  { what: 'keys of 4 kB, all to be escaped', count: 600, ciphertext: "'".repeat(4000), id: 'of' },
  { what: 'a key of 400 kB', count: 3, ciphertext: '\\'.repeat(200_000), id: 'of' },
  // 255 bytes, and as long as it gets in a statement
  {
    what: 'keys whose ids are as long as may be',
    count: 900,
    ciphertext: 'c',
    id: '한'.repeat(83),
  },
].map(({ what, count, ciphertext, id }) => ({
  what,
  names: Array.from({ length: count }, (_, n) => `${id} ${n}`),
  session_data: { ephemeral: 'e', ciphertext, mac: 'm' },
}));

// PostgreSQL and SQLite have no such setting
const limited = killableDatabases.filter(({ name }) => name !== 'PostgreSQL');

// the setting is the whole server's: each has one of its own
describe.each(limited)('max_allowed_packet of $name', ({ type, start }) => {
  describe.each([1, 2])('at %i MiB', (mebibytes) => {
    let server: Awaited<ReturnType<typeof start>>;
    let before: number;
    let database: TestDatabase;
    let application: TestApplication;

    const setPacket = async (bytes: number) => {
      const connection = await mysql.createConnection(server.url);
      const [rows] = await connection.query('SELECT @@GLOBAL.max_allowed_packet AS bytes');
      await connection.query('SET GLOBAL max_allowed_packet = ?', [bytes]);
      await connection.end();
      return Number((rows as { bytes: number }[])[0]?.bytes);
    };
    beforeAll(async () => {
      server = await start();
      database = await createOn(server.url, type, 'packets_');
      before = await setPacket(mebibytes * 1024 * 1024);
      application = await startApplication(database);
    });
    afterAll(async () => {
      await application.close();
      await setPacket(before);
      await database.drop();
      await server.end();
    });

    const stored = async (user: string) => {
      const { body } = await application.client(user).get('/keys?version=1');
      return (body.rooms as Record<string, { sessions: Record<string, object> }>)['!a:hs1']!
        .sessions;
    };

    it.each(UPLOADS)('takes an upload of $what, and of better ones', async (upload) => {
      const { names, session_data } = upload;
      const user = `user${UPLOADS.indexOf(upload)}`;
      const client = application.client(user);
      await client.createBackup();
      for (const is_verified of [false, true]) {
        const key = keyData({ session_data, is_verified });
        const { status } = await client.put(
          '/keys?version=1',
          roomsBody(names.map((one) => ['!a:hs1', one, key] as const)),
        );
        expect(status).toBe(200);
        expect(await stored(user)).toEqual(Object.fromEntries(names.map((one) => [one, key])));
      }
    });

    it.each(UPLOADS)('takes an import of $what', async ({ names, session_data }) => {
      const source = new HomeserverTables();
      const user = `imported${names.length}`;
      source.backup(`@${user}:hs1`, 1);
      const text = JSON.stringify(session_data);
      for (const one of names) {
        source.key(`@${user}:hs1`, 1, '!a:hs1', one, { session_data: text });
      }
      const transfer = new RoomKeysTransfer(application.dataSource);
      expect(await transfer.importHomeserver('synapse', source.file)).toMatchObject({
        keys: { written: names.length },
        issues: {},
      });
      source.drop();
      expect(Object.keys(await stored(user))).toHaveLength(names.length);
    });
  });
});
