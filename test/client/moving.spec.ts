/**
 * Proves that a live account moves without losing a session: a real client fills the backup at a real
 * Synapse, the backup is imported while the client goes on, nginx is switched over to our server, and a
 * new device restores every session from it; the old one goes on uploading. A second import changes
 * nothing.
 */
import { jest } from '@jest/globals';
import { DataSource } from 'typeorm';
import { roomKeysEntities } from '../../src/index.js';
import { RoomKeysTransfer } from '../../src/operations/index.js';
import {
  register,
  testHomeserver,
  testHomeserverDatabase,
  type TestUser,
} from '../homeserver/synapse.js';
import { startNginx } from '../../server/test/proxy/nginx.js';
import {
  freePort,
  serverProgram,
  type Running,
  startBuiltServer,
} from '../../server/test/proxy/processes.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { createRooms, encryptMessages, type Message, unreadable } from './conversation.js';
import { Device } from './device.js';

const homeserver = testHomeserver();
const from = testHomeserverDatabase();
const nginx = serverProgram('nginx', 'nginx-light');

(homeserver && from && nginx ? describe : describe.skip).each(databases)(
  'a real client whose backup moves to $name',
  ({ create }) => {
    let database: TestDatabase;
    let dataSource: DataSource;
    let server: Running | undefined;
    let proxy: Running | undefined;
    let user: TestUser;
    const devices: Device[] = [];

    const logIn = async (url: string) => {
      const device = await Device.logIn(url, user);
      devices.push(device);
      return device;
    };

    beforeAll(async () => {
      jest.spyOn(Math, 'random').mockReturnValue(0);
      database = await create();
      server = await startBuiltServer(homeserver!.url, database.url);
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

    const run = (changedOnly = false) =>
      new RoomKeysTransfer(dataSource).importHomeserver('synapse', from!, {
        userId: user.user_id,
        changedOnly,
      });

    it('restores every session on a new device, and goes on', async () => {
      const phone = await logIn(homeserver!.url);
      const recoveryKey = await phone.setUpEncryption();
      const rooms = await createRooms(phone, 3);
      const messages: Message[] = await encryptMessages(phone, rooms, 250);
      await phone.backedUp();
      expect(await run()).toMatchObject({ backups: { created: 1 }, issues: {} });
      // the client goes on while nothing is switched yet
      messages.push(...(await encryptMessages(phone, rooms, 50)));
      await phone.backedUp();
      expect(await run(true)).toMatchObject({ backups: { merged: 1 }, issues: {} });
      const atSynapse = await phone.currentBackup();
      expect(await run()).toMatchObject({
        backups: { unchanged: 1 },
        keys: { read: 300, written: 0 },
        verified: { keys: 300 },
      });

      const laptop = await logIn(proxy!.url);
      expect(await laptop.currentBackup()).toEqual(atSynapse);
      await laptop.enterRecoveryKey(recoveryKey);
      expect(await laptop.restore()).toMatchObject({ total: 300, imported: 300 });
      expect(await unreadable(laptop, messages)).toEqual([]);
      expect(laptop.exchanges.refused).toEqual([]);

      // else the phone, which is given the sessions too, would back them up at Synapse
      devices.splice(devices.indexOf(phone), 1);
      await phone.logOut();
      // what the laptop stores here, a later import does not touch
      await encryptMessages(laptop, rooms, 10);
      await laptop.backedUp();
      const moved = await laptop.currentBackup();
      expect(moved).toMatchObject({ count: 310 });
      expect(await run()).toMatchObject({ backups: { unchanged: 1 }, keys: { written: 0 } });
      expect(await laptop.currentBackup()).toEqual(moved);
    });
  },
);
