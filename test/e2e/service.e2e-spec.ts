/** Proves what a host can do beside the operations: erase a user, see what is stored of one, and what is under way. */
import { RoomKeysService } from '../../src/index.js';
import { RoomKeysMaintenance } from '../../src/operations/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, type MatrixClient, roomsBody } from '../support/matrix-client.js';

const batch = (count: number, sessionData: object = { x: 'y' }) =>
  roomsBody(
    Array.from(
      { length: count },
      (_, n) => ['!r:hs1', `s${n}`, keyData({ session_data: sessionData })] as const,
    ),
  );

describe.each(databases)('the service on $name', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let service: RoomKeysService;
  let maintenance: RoomKeysMaintenance;
  let phone: MatrixClient;
  let laptop: MatrixClient;
  let bob: MatrixClient;

  beforeAll(async () => {
    database = await create();
    application = await startApplication(database);
    service = application.app.get(RoomKeysService);
    maintenance = application.app.get(RoomKeysMaintenance);
    phone = application.client('alice/PHONE');
    laptop = application.client('alice/LAPTOP');
    bob = application.client('bob/BOBS');
  });
  afterAll(async () => {
    await application.close();
    await database.drop();
  });

  it('tells what is stored of a user', async () => {
    const before = Date.now();
    await phone.createBackup();
    await phone.put('/keys?version=1', batch(3));
    await phone.createBackup();
    await phone.put('/keys?version=2', batch(2));
    await laptop.put('/keys?version=2', batch(4));
    await bob.createBackup();
    await bob.put('/keys?version=1', batch(9));

    const summary = await maintenance.summary('@alice:hs1');
    expect(summary).toMatchObject({
      count: 7,
      bytes: 7 * '{"x":"y"}'.length,
      backups: [
        { version: '1', count: 3, bytes: 3 * '{"x":"y"}'.length, devices: ['PHONE'] },
        { version: '2', count: 4, bytes: 4 * '{"x":"y"}'.length, etag: '2' },
      ],
    });
    expect(summary.backups[1]?.devices.sort()).toEqual(['LAPTOP', 'PHONE']);
    expect(summary.firstChange?.getTime()).toBeGreaterThanOrEqual(before);
    expect(summary.lastChange?.getTime()).toBeGreaterThanOrEqual(
      summary.firstChange?.getTime() ?? 0,
    );
  });

  it('keeps the bytes exact through replacing and deleting', async () => {
    await phone.put(
      '/keys?version=2',
      roomsBody([['!r:hs1', 's0', keyData({ is_verified: true, session_data: { x: 'longer' } })]]),
    );
    expect((await maintenance.summary('@alice:hs1')).backups[1]?.bytes).toBe(
      3 * '{"x":"y"}'.length + '{"x":"longer"}'.length,
    );
    await phone.delete('/keys/!r%3Ahs1/s0?version=2');
    expect((await maintenance.summary('@alice:hs1')).backups[1]?.bytes).toBe(
      3 * '{"x":"y"}'.length,
    );
    await phone.delete('/keys/!r%3Ahs1?version=2');
    expect((await maintenance.summary('@alice:hs1')).backups[1]).toMatchObject({
      bytes: 0,
      count: 0,
    });
  });

  it('erases a user, no other, and uses no version twice', async () => {
    await maintenance.eraseUser('@alice:hs1');
    for (const path of ['/version', '/version/1', '/keys?version=1', '/keys?version=2']) {
      expect((await phone.get(path)).status).toBe(404);
    }
    expect(await maintenance.summary('@alice:hs1')).toEqual({
      backups: [],
      count: 0,
      bytes: 0,
      isKnown: true,
      versionsNotImported: [],
    });
    expect((await bob.get('/version')).body).toMatchObject({ version: '1', count: 9 });
    await maintenance.eraseUser('@alice:hs1');
    await maintenance.eraseUser('@nobody:hs1');
    expect(await phone.createBackup()).toBe('3');
  });

  it('tells how many restores are under way, and how many wait for a place', async () => {
    await bob.createBackup();
    await application.client('dave/DAVES').createBackup();
    const opening = Array.from({ length: 12 }, (_, n) =>
      service.keys(n % 2 ? '@bob:hs1' : '@dave:hs1', '1'),
    );
    await new Promise(setImmediate);
    expect(service.activity().restoresWaiting).toBeGreaterThan(0);
    // those that have begun are not read, and so make room for the others
    const read = opening.map(async (pages) => (await pages).next());
    await Promise.all(read);
    const pages = await Promise.all(opening);
    expect(service.activity().restoresWaiting).toBe(0);
    for (const open of pages) await open.close();
    expect(service.activity()).toMatchObject({ restores: 0, restoresWaiting: 0 });
  });

  it('tells how many changes of a user wait for their turn', async () => {
    const versions = Array.from({ length: 5 }, () =>
      service.createBackup('@carol:hs1', {
        algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2',
        authData: '{}',
      }),
    );
    await new Promise(setImmediate);
    expect(service.activity().transactionsWaiting).toBe(4);
    await Promise.all(versions);
    expect(service.activity().transactionsWaiting).toBe(0);
  });

  describe('asked for what the endpoints would not take', () => {
    const user = '@erin:hs1';
    const key = {
      roomId: '!r:hs1',
      sessionId: 's',
      isVerified: true,
      firstMessageIndex: 0,
      forwardedCount: 0,
      sessionData: '{"x":"y"}',
    };
    const refused = (errcode: string) =>
      expect.objectContaining({ body: expect.objectContaining({ errcode }) as object }) as object;

    it.each<[string, errcode: string, object[]]>([
      ['JSON that is none', 'M_NOT_JSON', [{ ...key, sessionData: 'not json' }]],
      ['a negative index', 'M_BAD_JSON', [{ ...key, firstMessageIndex: -1 }]],
      ['an id of 300 bytes', 'M_INVALID_PARAM', [{ ...key, sessionId: 'x'.repeat(300) }]],
      ['two keys with the same ids', 'M_BAD_JSON', [key, { ...key, forwardedCount: 1 }]],
      ['an object in place of text', 'M_BAD_JSON', [{ ...key, sessionData: { x: 'y' } }]],
    ])('says so, and stores nothing: %s', async (_, errcode, keys) => {
      const version = await service.createBackup(user, {
        algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2',
        authData: '{}',
      });
      await service.putKeys(user, version, [{ ...key, roomId: '!other:hs1' }]);
      await expect(service.putKeys(user, version, keys as never)).rejects.toEqual(refused(errcode));
      const restored = await application.client('erin').get(`/keys?version=${version}`);
      expect(restored.body).toMatchObject({ rooms: { '!other:hs1': { sessions: { s: {} } } } });
      expect(Object.keys((restored.body as { rooms: object }).rooms)).toHaveLength(1);
    });

    it.each<[string, () => Promise<unknown>]>([
      ['a user id', () => maintenance.eraseUser('')],
      ['a version', () => service.deleteBackup(user, 1 as never)],
      ['a room', () => service.deleteKeys(user, '1', { roomId: {} } as never)],
      ['a session without its room', () => service.keys(user, '1', { sessionId: 's' } as never)],
    ])('says so of %s', async (_, call) => {
      await expect(call()).rejects.toEqual(refused('M_INVALID_PARAM'));
    });
  });
});
