/**
 * Proves that a reset by a real client can be undone: matrix-js-sdk at a real homeserver resets encryption, by which all
 * backups are deleted; the operator restores the old one as the current one; and a device that has the old key reads every
 * message again, while the history says which device did what.
 */
import { jest } from '@jest/globals';
import { DataSource } from 'typeorm';
import { startNginx } from '../../server/test/proxy/nginx.js';
import {
  freePort,
  serverProgram,
  type Running,
  startBuiltServer,
} from '../../server/test/proxy/processes.js';
import { roomKeysEntities } from '../../src/index.js';
import { RoomKeysMaintenance } from '../../src/operations/index.js';
import { register, testHomeserver, type TestUser } from '../homeserver/synapse.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { createRooms, encryptMessages, type Message, unreadable } from './conversation.js';
import { Device } from './device.js';

const homeserver = testHomeserver();
const nginx = serverProgram('nginx', 'nginx-light');
const SESSIONS = 60;

(homeserver && nginx ? describe : describe.skip).each(databases)(
  'a real client that resets its backup on $name',
  ({ create }) => {
    let database: TestDatabase;
    let dataSource: DataSource;
    let server: Running | undefined;
    let proxy: Running | undefined;
    let user: TestUser;
    const devices: Device[] = [];

    const logIn = async () => {
      const device = await Device.logIn(proxy!.url, user);
      devices.push(device);
      return device;
    };

    beforeAll(async () => {
      // uploads begin at once: see backup.spec.ts
      jest.spyOn(Math, 'random').mockReturnValue(0);
      database = await create();
      server = await startBuiltServer(homeserver!.url, database.url, { KEEP_DELETED_DAYS: '7' });
      dataSource = await new DataSource({
        ...database.dataSourceOptions,
        entities: roomKeysEntities(database.dataSourceOptions.type),
      }).initialize();
      proxy = await startNginx(nginx!, {
        proxy: `127.0.0.1:${await freePort()}`,
        roomKeys: new URL(server.url).host,
        homeserver: new URL(homeserver!.url).host,
      });
      user = await register(homeserver!);
    });
    afterAll(async () => {
      for (const device of devices) await device.logOut();
      await proxy?.stop();
      await dataSource.destroy();
      await server?.stop();
      await database.drop();
    });

    it('reads every message again once the old backup is restored', async () => {
      const phone = await logIn();
      await phone.setUpEncryption();
      const rooms = await createRooms(phone, 3);
      const messages: Message[] = await encryptMessages(phone, rooms, SESSIONS);
      await phone.backedUp();
      const before = await phone.currentBackup();
      expect(before.count).toBe(SESSIONS);
      const oldKey = await phone.crypto.getSessionBackupPrivateKey();

      // on a new device, whose user has lost all others and resets everything
      const laptop = await logIn();
      await laptop.resetEncryption();
      const reset = await laptop.currentBackup();
      expect(reset).toMatchObject({ count: 0 });
      await expect(laptop.restore()).resolves.toMatchObject({ total: 0 });
      expect(await unreadable(laptop, messages)).toEqual(messages);

      const maintenance = new RoomKeysMaintenance(dataSource);
      const restored = await maintenance.restore(user.user_id, {
        version: before.version,
        asCurrent: true,
      });
      expect(restored).toMatchObject({ count: SESSIONS, deletions: 1 });

      expect(await laptop.currentBackup()).toMatchObject({
        version: restored?.version,
        count: SESSIONS,
      });
      await laptop.crypto.storeSessionBackupPrivateKey(oldKey!, restored!.version);
      expect(await laptop.restore()).toMatchObject({ total: SESSIONS, imported: SESSIONS });
      expect(await unreadable(laptop, messages)).toEqual([]);

      const history = await maintenance.history(user.user_id);
      const told = history.filter(({ what }) => what !== 'auth_data');
      expect(told.map((one) => [one.what, one.deviceId, one.version, one.currentAfter])).toEqual([
        ['created', phone.client.getDeviceId(), before.version, before.version],
        ['deleted', laptop.client.getDeviceId(), before.version, undefined],
        ['created', laptop.client.getDeviceId(), reset.version, reset.version],
        ['restored', undefined, restored?.version, restored?.version],
      ]);
    });
  },
);
