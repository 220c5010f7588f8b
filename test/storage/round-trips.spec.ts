/** Proves how often a request waits for the database: statements whose results are not needed share a message. */
import { type Cable, layCable } from '../../server/test/operating/cable.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { serverDatabases, type TestDatabase, withOptions } from '../support/databases.js';
import { keyData, keyPath, type MatrixClient, roomsBody } from '../support/matrix-client.js';

const batch = (from: number, fields: object = {}) =>
  roomsBody(
    Array.from(
      { length: 100 },
      (_, n) => [`!r${n % 6}:hs1`, `s${from + n}`, keyData(fields)] as const,
    ),
  );

const TRIPS = {
  SQLite: { upload: 0, one: 0, same: 0, deletion: 0 },
  PostgreSQL: { upload: 3, one: 3, same: 1, deletion: 2 },
  // BEGIN shares a message with the next statement
  MySQL: { upload: 5, one: 5, same: 1, deletion: 5 },
  // each statement has a message of its own: see MysqlConnection
  MariaDB: { upload: 6, one: 6, same: 1, deletion: 6 },
};

describe.each(serverDatabases.map((database) => ({ ...database, ...TRIPS[database.name] })))(
  'round trips to $name',
  ({ create, upload, one, same, deletion }) => {
    let database: TestDatabase;
    let cable: Cable;
    let application: TestApplication;
    let alice: MatrixClient;

    beforeAll(async () => {
      database = await create();
      cable = await layCable(database.url);
      const options = { historyDays: 0, sweepIntervalMs: 3_600_000 };
      application = await startApplication(
        withOptions(database, { url: cable.url, poolSize: 1 }),
        options,
      );
      alice = application.client('alice');
      await alice.createBackup();
      // what is done once for a connection
      await alice.put('/keys?version=1', batch(0));
    });
    afterAll(async () => {
      await application.close();
      await cable.close();
      await database.drop();
    });

    const tripsOf = async (action: () => Promise<{ status: number }>) => {
      cable.takeRoundTrips();
      expect((await action()).status).toBe(200);
      return cable.takeRoundTrips();
    };

    it(`an upload of 100 keys takes ${upload}, of one key ${one}, of stored ones ${same}`, async () => {
      expect(await tripsOf(() => alice.put('/keys?version=1', batch(100)))).toBe(upload);
      expect(await tripsOf(() => alice.put('/keys?version=1', batch(100)))).toBe(same);
      const better = batch(100, { is_verified: true });
      expect(await tripsOf(() => alice.put('/keys?version=1', better))).toBeLessThanOrEqual(upload);
      const path = `${keyPath('!r1:hs1', 'one')}?version=1`;
      expect(await tripsOf(() => alice.put(path, keyData()))).toBe(one);
    });

    it('each read takes 1', async () => {
      expect(await tripsOf(() => alice.get('/version'))).toBe(1);
      expect(await tripsOf(() => alice.get(`${keyPath('!r1:hs1', 's1')}?version=1`))).toBe(1);
    });

    it(`deleting a backup takes ${deletion}`, async () => {
      expect(await tripsOf(() => alice.delete('/version/1'))).toBe(deletion);
    });
  },
);
