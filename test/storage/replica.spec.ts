/**
 * Proves that all 14 operations are answered by the primary, where a host's DataSource has read replicas
 * too: here a replica that lags for ever, which has the tables and none of the rows.
 */
import { jest } from '@jest/globals';
import { DataSource } from 'typeorm';
import { roomKeysEntities, roomKeysMigrations } from '../../src/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { serverDatabases, type TestDatabase } from '../support/databases.js';
import { keyData, keyPath, roomsBody } from '../support/matrix-client.js';

describe.each(serverDatabases)('beside a read replica of $name', ({ create }) => {
  let primary: TestDatabase;
  let replica: TestDatabase;
  let application: TestApplication;

  beforeAll(async () => {
    [primary, replica] = await Promise.all([create(), create()]);
    const { type } = replica.dataSourceOptions;
    const tables = await new DataSource({
      ...replica.dataSourceOptions,
      entities: roomKeysEntities(type),
      migrations: roomKeysMigrations,
      migrationsRun: true,
    }).initialize();
    await tables.destroy();
    application = await startApplication({
      ...primary,
      dataSourceOptions: {
        type: type as 'mysql',
        replication: { master: { url: primary.url }, slaves: [{ url: replica.url }] },
      },
    });
  });
  afterEach(() => {
    jest.restoreAllMocks();
  });
  afterAll(async () => {
    await application.close();
    await Promise.all([primary.drop(), replica.drop()]);
  });

  const whenAsked = () => {
    const { driver } = application.dataSource as unknown as {
      driver: { obtainSlaveConnection: () => Promise<unknown> };
    };
    return jest.spyOn(driver, 'obtainSlaveConnection');
  };

  it('no operation asks it', async () => {
    const asked = whenAsked();
    const alice = application.client('alice');
    const key = keyData();
    const room = { sessions: { s: key } };
    const all = roomsBody([['!r:hs1', 's', key]]);
    const [keys, inRoom, one] = ['/keys', keyPath('!r:hs1'), keyPath('!r:hs1', 's')].map(
      (path) => `${path}?version=1`,
    ) as [string, string, string];
    const information = { algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2', auth_data: {} };
    const stored = (count: number, etag: number) => ({ count, etag: String(etag) });

    expect(await alice.createBackup({})).toBe('1');
    expect((await alice.get('/version')).body).toMatchObject({ version: '1', count: 0 });
    expect((await alice.put(keys, all)).body).toEqual(stored(1, 1));
    expect((await alice.get('/version/1')).body).toMatchObject(stored(1, 1));
    expect((await alice.get(keys)).body).toEqual(all);
    expect((await alice.get(inRoom)).body).toEqual(room);
    expect((await alice.get(one)).body).toEqual(key);
    expect((await alice.delete(one)).body).toEqual(stored(0, 2));
    expect((await alice.put(inRoom, room)).body).toEqual(stored(1, 3));
    expect((await alice.delete(inRoom)).body).toEqual(stored(0, 4));
    expect((await alice.put(one, key)).body).toEqual(stored(1, 5));
    expect((await alice.delete(keys)).body).toEqual(stored(0, 6));
    expect((await alice.put('/version/1', information)).body).toEqual({});
    expect((await alice.delete('/version/1')).body).toEqual({});
    expect((await alice.get('/version')).status).toBe(404);
    expect(asked).not.toHaveBeenCalled();
  });

  it('of as many keys as make several pages, each comes from the primary', async () => {
    const asked = whenAsked();
    const bob = application.client('bob');
    await bob.createBackup();
    const all = roomsBody(
      Array.from({ length: 3000 }, (_, n) => [`!r${n % 5}:hs1`, `s${n}`, keyData()] as const),
    );
    await bob.put('/keys?version=1', all);
    expect((await bob.get('/keys?version=1')).body).toEqual(all);
    expect(asked).not.toHaveBeenCalled();
  });
});
