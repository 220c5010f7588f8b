/**
 * Proves that a real client is at home with the key backup: matrix-js-sdk with Rust crypto logs in at a
 * real homeserver, and nginx, as the docs configure it, sends what is below /room_keys/ to the built
 * server. It sets a backup up, fills it, restores it, resets it while another device writes, and deletes
 * it; no session is lost, and no request is refused but where the client expects that.
 */
import { jest } from '@jest/globals';
import { register, testHomeserver, type TestUser } from '../homeserver/synapse.js';
import { startNginx } from '../../server/test/proxy/nginx.js';
import {
  freePort,
  serverProgram,
  type Running,
  startBuiltServer,
} from '../../server/test/proxy/processes.js';
import { databases, type TestDatabase } from '../support/databases.js';
import {
  createRooms,
  encryptMessages,
  type Message,
  sendMessages,
  timelinesShow,
  unreadable,
} from './conversation.js';
import { Device, type RecoveryKey } from './device.js';

const homeserver = testHomeserver();
const nginx = serverProgram('nginx', 'nginx-light');

const UPLOADS = /^\/keys\?/;
const SINGLE_KEY = /^\/keys\/[^/]+\/[^/]+\?/;
const NO_BACKUP = 'GET 404 M_NOT_FOUND /version';

(homeserver && nginx ? describe : describe.skip).each(databases)(
  'a real client with its backup on $name',
  ({ create }) => {
    let database: TestDatabase;
    let server: Running | undefined;
    let proxy: Running | undefined;
    let user: TestUser;
    let rooms: string[];
    let phone: Device;
    let recoveryKey: RecoveryKey;
    /** All that were encrypted so far. */
    const messages: Message[] = [];
    const devices: Device[] = [];

    const logIn = async () => {
      const device = await Device.logIn(proxy!.url, user);
      devices.push(device);
      return device;
    };
    const logOut = async (device: Device) => {
      devices.splice(devices.indexOf(device), 1);
      await device.logOut();
    };

    beforeAll(async () => {
      // The SDK waits up to ten seconds before it uploads, so that the devices of a user do not all
      // come at the same moment. Here they shall.
      jest.spyOn(Math, 'random').mockReturnValue(0);
      database = await create();
      server = await startBuiltServer(homeserver!.url, database.url);
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
      await server?.stop();
      await database.drop();
    });

    // Each goes on where the one before it ended, as the life of an account does.

    it('sets up a backup, and uploads 500 sessions', async () => {
      phone = await logIn();
      recoveryKey = await phone.setUpEncryption();
      rooms = await createRooms(phone, 5);
      messages.push(...(await encryptMessages(phone, rooms, 500)));
      expect(new Set(messages.map(({ sessionId }) => sessionId)).size).toBe(500);

      await phone.backedUp();

      expect(await phone.currentBackup()).toMatchObject({ count: 500 });
      expect(new Set(phone.exchanges.refused)).toEqual(new Set([NO_BACKUP]));
    });

    it('restores them all on a new device', async () => {
      const laptop = await logIn();
      expect(await laptop.sessions()).toEqual([]);
      await laptop.enterRecoveryKey(recoveryKey);
      expect(await laptop.restore()).toMatchObject({ total: 500, imported: 500 });

      expect(await unreadable(laptop, messages)).toEqual([]);
      expect(laptop.exchanges.of('GET', SINGLE_KEY)).toEqual([]);
      expect(laptop.exchanges.refused).toEqual([]);
      await logOut(laptop);
    });

    it('fetches single sessions for the messages that a new device shows', async () => {
      const texts = await sendMessages(phone, rooms, 20);
      await phone.backedUp();
      const tablet = await logIn();
      await tablet.enterRecoveryKey(recoveryKey);

      await timelinesShow(tablet, rooms, texts);

      expect(await tablet.sessions()).toHaveLength(20);
      const fetched = tablet.exchanges.of('GET', SINGLE_KEY);
      expect(new Set(fetched.map(({ path }) => path)).size).toBe(20);
      expect(tablet.exchanges.refused).toEqual([]);
      await logOut(tablet);
    });

    it('loses no session when a device resets the backup while another one writes', async () => {
      const laptop = await logIn();
      await laptop.enterRecoveryKey(recoveryKey);
      await laptop.restore();
      const { version: before } = await laptop.currentBackup();

      const writing = laptop.exchanges.next('PUT', UPLOADS);
      const reset = writing.then(() => phone.resetBackup());
      const isRefused = () =>
        laptop.exchanges.of('PUT', UPLOADS).some(({ status }) => status > 200);
      while (!isRefused()) messages.push(...(await encryptMessages(laptop, rooms, 10)));
      await reset;
      // the laptop may have looked for another backup when there was none yet
      await laptop.lookForBackup();
      await Promise.all([phone.backedUp(), laptop.backedUp()]);

      const { version, count } = await phone.currentBackup();
      expect(version).not.toBe(before);
      const sessions = new Set([...(await phone.sessions()), ...(await laptop.sessions())]);
      expect(count).toBe(sessions.size);
      const tablet = await logIn();
      await tablet.enterRecoveryKey(recoveryKey);
      expect(await tablet.restore()).toMatchObject({ total: count, imported: count });
      expect(await unreadable(tablet, messages)).toEqual([]);

      // All that was refused was meant for the backup that is gone, or came when there was none.
      const expected = new RegExp(
        [
          `^PUT (404 M_NOT_FOUND|403 M_WRONG_ROOM_KEYS_VERSION) /keys\\?version=${before}$`,
          `^GET 404 M_NOT_FOUND /keys/[^/]+/[^/]+\\?version=${before}$`,
          `^${NO_BACKUP}$`,
        ].join('|'),
      );
      for (const { exchanges } of [phone, laptop, tablet])
        expect(exchanges.refused.filter((refusal) => !expected.test(refusal))).toEqual([]);
      await logOut(laptop);
      await logOut(tablet);
    });

    it('deletes the backup', async () => {
      const { version } = await phone.currentBackup();
      const { all } = phone.exchanges;
      const before = all.length;

      await phone.deleteBackup(version);

      await expect(phone.currentBackup()).rejects.toMatchObject({ errcode: 'M_NOT_FOUND' });
      await expect(phone.restore()).rejects.toThrow(`${version} not found on server`);
      expect(all.slice(before).map(({ method, path, status }) => [method, path, status])).toEqual([
        ['DELETE', `/version/${version}`, 200],
        ['GET', '/version', 404],
        ['GET', `/version/${version}`, 404],
      ]);
      const tablet = await logIn();
      expect(await tablet.crypto.getKeyBackupInfo()).toBeNull();
      expect(await unreadable(tablet, messages)).toEqual(messages);
    });
  },
);
