/**
 * Proves that a deleted room is gone at once for every reader and every upload, while the rows of its keys are
 * removed later; and that a key set goes on past the 2^32nd key that was ever added to it.
 */
import { RoomKeysMaintenance } from '../../src/operations/index.js';
import { RetiredKeysSweeper } from '../../src/room-keys/storage/retired-keys.sweeper.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, keyPath, type MatrixClient, roomsBody } from '../support/matrix-client.js';
import { LOCK_STATEMENTS, recordStatements } from '../support/statements.js';
import { numberOf } from '../support/sql.js';

const GONE = '!gone:hs1';
const STAYS = '!stays:hs1';
const GOOD = keyData({ first_message_index: 1, session_data: { x: 'good' } });
const WORSE = keyData({ first_message_index: 9, session_data: { x: 'worse, and longer' } });
const ROOM = `${keyPath(GONE)}?version=1`;
const ALL = '/keys?version=1';

const keysOf = (roomId: string, count: number, key: object) =>
  Array.from({ length: count }, (_, n) => [roomId, `s${n}`, key] as const);

describe.each(databases)('a deleted room on $name', ({ name, create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let maintenance: RoomKeysMaintenance;
  let alice: MatrixClient;

  beforeEach(async () => {
    database = await create();
    application = await startApplication(database);
    maintenance = application.app.get(RoomKeysMaintenance);
    // rows are removed when the test says so
    await application.app.get(RetiredKeysSweeper).onModuleDestroy();
    alice = application.client('alice/PHONE');
    await alice.createBackup();
    await alice.put(ALL, roomsBody([...keysOf(GONE, 3, GOOD), ...keysOf(STAYS, 2, GOOD)]));
  });
  afterEach(async () => {
    expect(await findings()).toEqual([]);
    await application.close();
    await database.drop();
  });

  const findings = async () => {
    const found: string[] = [];
    for await (const { code, message } of maintenance.verify()) found.push(`${code}: ${message}`);
    return found;
  };
  const rowsOfKeys = async () => {
    return numberOf(application.dataSource, 'SELECT COUNT(*) AS count FROM room_keys_keys');
  };

  it('is gone for every reader, though its rows are there', async () => {
    expect((await alice.delete(ROOM)).body).toEqual({ count: 2, etag: '2' });
    expect(await rowsOfKeys()).toBe(5);
    expect((await alice.get(ROOM)).body).toEqual({ sessions: {} });
    expect((await alice.get(`${keyPath(GONE, 's0')}?version=1`)).status).toBe(404);
    expect((await alice.get(ALL)).body).toEqual(roomsBody(keysOf(STAYS, 2, GOOD)));
    expect((await alice.get('/version')).body).toMatchObject({ count: 2, etag: '2' });
    // once more changes nothing
    expect((await alice.delete(ROOM)).body).toEqual({ count: 2, etag: '2' });
    expect(await maintenance.statistics()).toMatchObject({
      keys: 2,
      waiting: { keySets: 0, rooms: 1 },
    });
  });

  it.each([
    ['the same keys', GOOD],
    ['worse keys', WORSE],
  ])('gives way to %s', async (_, key) => {
    await alice.delete(ROOM);
    for (const n of [1, 2]) {
      const upload = roomsBody(keysOf(GONE, 3, key));
      expect((await alice.put(ALL, upload)).body).toEqual({ count: 5, etag: '3' });
      expect((await alice.get(ROOM)).body).toEqual(upload.rooms[GONE]);
      expect((await alice.get(`${keyPath(GONE, 's1')}?version=1`)).body).toEqual(key);
      if (n === 1) expect(await maintenance.sweep()).toEqual({ keySets: 0, rooms: 1, rows: 3 });
    }
    expect((await alice.get(ALL)).body).toEqual(
      roomsBody([...keysOf(GONE, 3, key), ...keysOf(STAYS, 2, GOOD)]),
    );
    expect(await rowsOfKeys()).toBe(5);
  });

  it('can be deleted again and again, before any row is removed', async () => {
    for (let n = 0; n < 4; n += 1) {
      expect((await alice.delete(ROOM)).body).toEqual({ count: 2, etag: String(2 * n + 2) });
      const { body } = await alice.put(ALL, roomsBody(keysOf(GONE, 3, n % 2 ? GOOD : WORSE)));
      expect(body).toEqual({ count: 5, etag: String(2 * n + 3) });
    }
    expect(await rowsOfKeys()).toBe(17);
    expect((await alice.get(ALL)).body).toEqual(
      roomsBody([...keysOf(GONE, 3, GOOD), ...keysOf(STAYS, 2, GOOD)]),
    );
    expect((await alice.delete(`${keyPath(GONE, 's2')}?version=1`)).body).toEqual({
      count: 4,
      etag: '10',
    });
    expect(await maintenance.sweep()).toEqual({ keySets: 0, rooms: 4, rows: 12 });
    expect((await alice.get('/version')).body).toMatchObject({ count: 4, etag: '10' });
  });

  it('leaves counts and bytes exact, with keys that are replaced and deleted one by one', async () => {
    const longer = keyData({ is_verified: true, session_data: { x: 'x'.repeat(100) } });
    await alice.put(ALL, roomsBody([...keysOf(GONE, 2, longer), ...keysOf('!new:hs1', 1, longer)]));
    await alice.delete(`${keyPath(GONE, 's2')}?version=1`);
    await alice.delete(ROOM);
    expect((await maintenance.summary('@alice:hs1')).backups).toMatchObject([
      { count: 3, bytes: 2 * '{"x":"good"}'.length + `{"x":"${'x'.repeat(100)}"}`.length },
    ]);
  });

  it('goes with its key set', async () => {
    await alice.delete(ROOM);
    await alice.delete(ALL);
    expect((await alice.put(ALL, roomsBody(keysOf(GONE, 1, WORSE)))).body).toMatchObject({
      count: 1,
    });
    await maintenance.sweep();
    expect(await rowsOfKeys()).toBe(1);
    expect(await maintenance.statistics()).toMatchObject({ waiting: { keySets: 0, rooms: 0 } });
  });

  it('does not name its devices any more', async () => {
    const laptop = application.client('alice/LAPTOP');
    await laptop.put(ALL, roomsBody(keysOf('!laptop:hs1', 1, GOOD)));
    await laptop.delete(`${keyPath('!laptop:hs1')}?version=1`);
    expect((await maintenance.summary('@alice:hs1')).backups).toMatchObject([
      { devices: ['PHONE'] },
    ]);
  });

  it('is passed over by a restore wherever it lies', async () => {
    const rooms = Array.from({ length: 12 }, (_, n) => `!r${n}:hs1`);
    await alice.put(ALL, roomsBody(rooms.flatMap((roomId) => keysOf(roomId, 120, GOOD))));
    const left = rooms.filter((_, n) => ![0, 3, 4, 5, 8, 11].includes(n));
    for (const roomId of rooms) {
      if (!left.includes(roomId)) await alice.delete(`${keyPath(roomId)}?version=1`);
    }
    const { body, text } = await alice.get(ALL);
    expect(body).toEqual(
      roomsBody([
        ...keysOf(GONE, 3, GOOD),
        ...keysOf(STAYS, 2, GOOD),
        ...left.flatMap((roomId) => keysOf(roomId, 120, GOOD)),
      ]),
    );
    expect(text.match(/"first_message_index"/g)).toHaveLength(5 + 6 * 120);
  });

  it('takes as many statements to delete with a thousand keys as with one', async () => {
    const counts: number[] = [];
    for (const count of [1, 1000]) {
      const roomId = `!room${count}:hs1`;
      for (let from = 0; from < count; from += 500) {
        const some = Array.from(
          { length: Math.min(500, count) },
          (_, n) => [roomId, `s${from + n}`, GOOD] as const,
        );
        await alice.put(ALL, roomsBody(some));
      }
      const { byRunner, stop } = recordStatements(application.dataSource);
      await alice.delete(`${keyPath(roomId)}?version=1`);
      stop();
      counts.push([...byRunner.values()].flat().length);
    }
    // 2 of them write the history
    const expected = LOCK_STATEMENTS[name] + 8;
    expect(counts).toEqual([expected, expected]);
  });

  it('does not keep a key set from going past the 2^32nd key that was added to it', async () => {
    await application.dataSource.query(
      'UPDATE room_keys_backups SET next_seq = 4294967295 WHERE version = 1',
    );
    const rooms = ['!a:hs1', '!b:hs1', '!c:hs1'];
    for (const roomId of rooms) {
      expect((await alice.put(ALL, roomsBody(keysOf(roomId, 2, GOOD)))).status).toBe(200);
    }
    await alice.put(ALL, roomsBody(keysOf('!c:hs1', 2, keyData({ is_verified: true }))));
    expect((await alice.get(ALL)).body).toEqual(
      roomsBody([
        ...keysOf(GONE, 3, GOOD),
        ...keysOf(STAYS, 2, GOOD),
        ...keysOf('!a:hs1', 2, GOOD),
        ...keysOf('!b:hs1', 2, GOOD),
        ...keysOf('!c:hs1', 2, keyData({ is_verified: true })),
      ]),
    );
    expect((await alice.delete(`${keyPath('!b:hs1')}?version=1`)).body).toMatchObject({ count: 9 });
    await maintenance.sweep();
    expect(await rowsOfKeys()).toBe(9);
  });
});
