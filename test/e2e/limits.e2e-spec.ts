/**
 * Proves the limits that an operator can set: what is over one is refused in a way that names it,
 * the whole request with it, while all that was stored before stays, can be read, replaced and
 * deleted; and that without limits there are none.
 */
import type { RoomKeysLimits } from '../../src/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, type MatrixClient, roomsBody } from '../support/matrix-client.js';

const infoUri = 'https://example.org/limits';
const KEYS_URL = (version: string) => `/keys?version=${version}`;

/** `{"ciphertext":"…"}` of so many bytes. */
const dataOf = (bytes: number) => ({ ciphertext: 'c'.repeat(bytes - '{"ciphertext":""}'.length) });

const batch = (from: number, count: number, fields: object = {}) =>
  roomsBody(
    Array.from(
      { length: count },
      (_, n) => [`!r${(from + n) % 3}:hs1`, `s${from + n}`, keyData(fields)] as const,
    ),
  );

const refusal = (what: RegExp) => ({
  status: 403,
  body: {
    errcode: 'M_USER_LIMIT_EXCEEDED',
    error: expect.stringMatching(what) as string,
    info_uri: infoUri,
  },
});

describe.each(databases)('limits on $name', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let users = 0;

  afterEach(async () => {
    await application.close();
    await database.drop();
  });

  async function clientUnder(limits: RoomKeysLimits): Promise<MatrixClient> {
    database = await create();
    application = await startApplication(database, { limits });
    return application.client(`alice${users++}`);
  }

  it('keysPerBackup: a backup is filled up to it, and not beyond', async () => {
    const alice = await clientUnder({ keysPerBackup: 5, infoUri });
    await alice.createBackup();
    expect((await alice.put(KEYS_URL('1'), batch(0, 4))).body.count).toBe(4);
    const full = { count: 4, etag: (await alice.get('/version')).body.etag as string };
    // one of the two is new and one too many: neither is stored
    expect(await alice.put(KEYS_URL('1'), batch(4, 2))).toMatchObject(refusal(/5 keys/));
    expect((await alice.get('/version')).body).toMatchObject(full);
    expect(await alice.put(KEYS_URL('1'), batch(4, 1))).toMatchObject({ body: { count: 5 } });
    expect(await alice.put('/keys/!r/s9?version=1', keyData())).toMatchObject(refusal(/5 keys/));
    // what is there already can be sent again, replaced, and make room
    expect(await alice.put(KEYS_URL('1'), batch(0, 5))).toMatchObject({ body: { count: 5 } });
    const better = batch(0, 5, { is_verified: true });
    expect(await alice.put(KEYS_URL('1'), better)).toMatchObject({ body: { count: 5 } });
    expect((await alice.get(KEYS_URL('1'))).body).toEqual(better);
    await alice.delete('/keys/!r0%3Ahs1/s0?version=1');
    expect(await alice.put('/keys/!r/s9?version=1', keyData())).toMatchObject({ status: 200 });
    // each backup for itself
    expect(await alice.createBackup()).toBe('2');
    expect(await alice.put(KEYS_URL('2'), batch(0, 5))).toMatchObject({ body: { count: 5 } });
  });

  it('bytesPerUser: all backups of a user count together, of each user alone', async () => {
    const alice = await clientUnder({ bytesPerUser: 1000, infoUri });
    await alice.createBackup();
    await alice.put(KEYS_URL('1'), batch(0, 6, { session_data: dataOf(100) }));
    await alice.createBackup();
    const four = batch(0, 4, { session_data: dataOf(100) });
    expect((await alice.put(KEYS_URL('2'), four)).status).toBe(200);
    const one = batch(9, 1, { session_data: dataOf(20) });
    expect(await alice.put(KEYS_URL('2'), one)).toMatchObject(refusal(/1000 bytes/));
    // better ones: of the same size, smaller, larger
    const better = (first_message_index: number, bytes: number) =>
      alice.put(
        KEYS_URL('2'),
        batch(0, 1, { is_verified: true, first_message_index, session_data: dataOf(bytes) }),
      );
    expect((await better(9, 100)).status).toBe(200);
    expect(await better(8, 101)).toMatchObject(refusal(/1000 bytes/));
    expect((await better(7, 80)).status).toBe(200);
    expect((await alice.put(KEYS_URL('2'), one)).status).toBe(200);
    const bob = application.client('bob');
    await bob.createBackup();
    expect(await bob.put(KEYS_URL('1'), batch(0, 10, { session_data: dataOf(100) }))).toMatchObject(
      { status: 200 },
    );
    // what is deleted counts no more, at once
    await alice.delete('/version/1');
    expect(
      await alice.put(KEYS_URL('2'), batch(20, 6, { session_data: dataOf(100) })),
    ).toMatchObject({ status: 200 });
  });

  it('backupsPerUser: another one only after one was deleted, and no version id is lost', async () => {
    const alice = await clientUnder({ backupsPerUser: 2, infoUri });
    const create = () =>
      alice.post('/version', {
        algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2',
        auth_data: {},
      });
    expect((await create()).body).toEqual({ version: '1' });
    expect((await create()).body).toEqual({ version: '2' });
    expect(await create()).toMatchObject(refusal(/2 backups/));
    expect((await alice.get('/version')).body.version).toBe('2');
    await alice.delete('/version/1');
    expect((await create()).body).toEqual({ version: '3' });
  });

  it('backupsPerUser: holds when backups are created at once', async () => {
    const alice = await clientUnder({ backupsPerUser: 3, infoUri });
    const answers = await Promise.all(
      Array.from({ length: 8 }, () =>
        alice.post('/version', {
          algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2',
          auth_data: {},
        }),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([
      200, 200, 200, 403, 403, 403, 403, 403,
    ]);
  });

  it('sessionDataBytes and authDataBytes: one value too large is named, and changes nothing', async () => {
    const alice = await clientUnder({ sessionDataBytes: 100, authDataBytes: 50 });
    const algorithm = 'm.megolm_backup.v1.curve25519-aes-sha2';
    const tooLarge = (field: string, bytes: number) => ({
      status: 413,
      body: { errcode: 'M_TOO_LARGE', error: `${field} is larger than ${bytes} bytes.` },
    });
    expect(await alice.post('/version', { algorithm, auth_data: dataOf(51) })).toMatchObject(
      tooLarge('auth_data', 50),
    );
    expect((await alice.post('/version', { algorithm, auth_data: dataOf(50) })).body).toEqual({
      version: '1',
    });
    expect(await alice.put('/version/1', { algorithm, auth_data: dataOf(51) })).toMatchObject(
      tooLarge('auth_data', 50),
    );
    const mixed = roomsBody([
      ['!r:hs1', 'fits', keyData({ session_data: dataOf(100) })],
      ['!r:hs1', 'does not', keyData({ session_data: dataOf(101) })],
    ]);
    expect(await alice.put(KEYS_URL('1'), mixed)).toMatchObject(tooLarge('session_data', 100));
    expect((await alice.get('/version')).body).toMatchObject({ count: 0, etag: '0' });
    const fits = batch(0, 1, { session_data: dataOf(100) });
    expect((await alice.put(KEYS_URL('1'), fits)).body).toMatchObject({ count: 1 });
  });

  it('none are set: a batch of a real client passes whatever there is', async () => {
    const alice = await clientUnder({});
    for (let n = 1; n <= 12; n++) expect(await alice.createBackup()).toBe(String(n));
    const large = batch(0, 500, { session_data: dataOf(5000) });
    expect((await alice.put(KEYS_URL('12'), large)).body).toMatchObject({ count: 500 });
  });
});
