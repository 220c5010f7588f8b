/** Proves the five operations on backups as such, over HTTP, on each database. */
import { type TestApplication, startApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, keyPath, type MatrixClient } from '../support/matrix-client.js';

const ALGORITHM = 'm.megolm_backup.v1.curve25519-aes-sha2';
const NO_BACKUPS = [
  '01',
  '+1',
  '%201',
  '1%20',
  '1.0',
  '1e0',
  '-1',
  '0',
  '2',
  '9'.repeat(40),
  '9007199254740993',
  'one',
  '%zz',
  '%FF',
  '１',
];

describe.each(databases)('backups on $name', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let alice: MatrixClient;
  let users = 0;

  beforeAll(async () => {
    database = await create();
    application = await startApplication(database, { allowedAlgorithms: ['org.example.other'] });
  });
  afterAll(async () => {
    await application.close();
    await database.drop();
  });
  beforeEach(() => {
    alice = application.client(`alice${users++}`);
  });

  describe('POST version', () => {
    it('counts version ids per user from "1"', async () => {
      const bob = application.client(`bob${users}`);
      expect(await alice.createBackup()).toBe('1');
      expect(await alice.createBackup()).toBe('2');
      expect(await bob.createBackup()).toBe('1');
    });

    it('starts with no keys', async () => {
      await alice.createBackup();
      const { body } = await alice.get('/version');
      expect(body).toMatchObject({ version: '1', count: 0 });
      expect(typeof body.etag).toBe('string');
    });

    it('never gives out an id again, also when all backups are deleted', async () => {
      await alice.createBackup();
      await alice.createBackup();
      await alice.delete('/version/2');
      await alice.delete('/version/1');
      expect(await alice.createBackup()).toBe('3');
    });

    it('gives every one of many requests at once an id of its own', async () => {
      const ids = await Promise.all(Array.from({ length: 8 }, () => alice.createBackup()));
      expect(ids.sort()).toEqual(['1', '2', '3', '4', '5', '6', '7', '8']);
    });

    it('takes an algorithm that the configuration adds', async () => {
      const answer = await alice.post('/version', {
        algorithm: 'org.example.other',
        auth_data: {},
      });
      expect(answer).toMatchObject({ status: 200, body: { version: '1' } });
    });

    it('takes any algorithm that has a name where the configuration allows any', async () => {
      const open = await startApplication(database, { allowedAlgorithms: '*' });
      const bob = open.client('bob');
      const backup = (algorithm: string) => ({ algorithm, auth_data: {} });
      expect(await bob.post('/version', backup(''))).toMatchObject({
        status: 400,
        body: { errcode: 'M_INVALID_PARAM' },
      });
      expect((await bob.get('/version')).status).toBe(404);
      expect(await bob.post('/version', backup(' '))).toMatchObject({ body: { version: '1' } });
      expect((await bob.get('/version')).body).toMatchObject({ algorithm: ' ' });
      // the algorithm is then another one than the backup's, as any other would be
      expect(await bob.put('/version/1', backup(''))).toMatchObject({
        status: 400,
        body: { errcode: 'M_INVALID_PARAM' },
      });
      await open.close();
    });

    it.each([
      [
        'an algorithm that is not configured',
        { algorithm: 'm.other', auth_data: {} },
        'M_INVALID_PARAM',
      ],
      [
        'an algorithm in other case',
        { algorithm: ALGORITHM.toUpperCase(), auth_data: {} },
        'M_INVALID_PARAM',
      ],
      ['no algorithm', { auth_data: {} }, 'M_BAD_JSON'],
      ['an algorithm that is a number', { algorithm: 1, auth_data: {} }, 'M_BAD_JSON'],
      ['no auth_data', { algorithm: ALGORITHM }, 'M_BAD_JSON'],
      ['auth_data that is an array', { algorithm: ALGORITHM, auth_data: [] }, 'M_BAD_JSON'],
      ['auth_data that is null', { algorithm: ALGORITHM, auth_data: null }, 'M_BAD_JSON'],
      ['a body that is an array', [], 'M_BAD_JSON'],
      ['a body that is a string', 'x', 'M_BAD_JSON'],
    ])('refuses %s', async (_, body, errcode) => {
      expect(await alice.post('/version', body)).toMatchObject({ status: 400, body: { errcode } });
      expect((await alice.get('/version')).status).toBe(404);
    });
  });

  describe('auth_data', () => {
    it.each([
      '{}',
      '{"a":{"b":[1,2,{"c":null}]},"é":"😀\\u0000","__proto__":{"x":1},"constructor":"c"}',
      '{"big":12345678901234567890,"huge":1e999,"minus":-0,"long":0.1000000000000000055}',
      '{"lone":"\\ud800","escaped":"\\"\\\\\\/\\b\\f\\n\\r\\t","space":"  \\u2028"}',
      `{"long":"${'x'.repeat(100_000)}"}`,
    ])('comes back as it was sent: %.60s', async (authData) => {
      const created = await alice.send(
        'POST',
        '/version',
        `{"auth_data": ${authData},"algorithm":"${ALGORITHM}"}`,
      );
      expect(created.status).toBe(200);
      const { body, text } = await alice.get('/version/1');
      expect(body.auth_data).toEqual(JSON.parse(authData));
      // what JSON.parse would have changed is there as it was
      for (const number of authData.match(/12345678901234567890|1e999|-0|0\.10{15}55/g) ?? []) {
        expect(text).toContain(number);
      }
    });
  });

  describe('GET version', () => {
    it('returns the newest backup that is not deleted', async () => {
      expect(await alice.get('/version')).toMatchObject({
        status: 404,
        body: { errcode: 'M_NOT_FOUND', error: 'No current backup version' },
      });
      await alice.createBackup({ n: 1 });
      await alice.createBackup({ n: 2 });
      await alice.createBackup({ n: 3 });
      expect((await alice.get('/version')).body).toMatchObject({
        version: '3',
        auth_data: { n: 3 },
      });
      await alice.delete('/version/2');
      expect((await alice.get('/version')).body.version).toBe('3');
      await alice.delete('/version/3');
      expect((await alice.get('/version')).body).toMatchObject({
        version: '1',
        auth_data: { n: 1 },
      });
      await alice.delete('/version/1');
      expect((await alice.get('/version')).status).toBe(404);
    });

    it('has the types that clients need', async () => {
      await alice.createBackup();
      await alice.put(`${keyPath('!r:hs1', 's')}?version=1`, keyData());
      const { body, headers } = await alice.get('/version');
      expect(body).toEqual({
        algorithm: ALGORITHM,
        auth_data: { public_key: 'abc' },
        count: 1,
        etag: expect.any(String) as string,
        version: '1',
      });
      expect(headers.get('content-type')).toMatch(/^application\/json/);
    });
  });

  describe('GET version/{version}', () => {
    it('tells any backup that is not deleted', async () => {
      await alice.createBackup({ n: 1 });
      await alice.createBackup({ n: 2 });
      expect((await alice.get('/version/1')).body).toMatchObject({
        version: '1',
        auth_data: { n: 1 },
      });
      expect((await alice.get('/version/2')).body).toMatchObject({
        version: '2',
        auth_data: { n: 2 },
      });
      await alice.delete('/version/1');
      expect((await alice.get('/version/1')).status).toBe(404);
    });

    it('reads a version that is percent-encoded', async () => {
      await alice.createBackup();
      expect((await alice.get('/version/%31')).status).toBe(200);
    });

    it.each(NO_BACKUPS)('knows no backup %s', async (version) => {
      await alice.createBackup();
      const expected = { status: 404, body: { errcode: 'M_NOT_FOUND' } };
      expect(await alice.get(`/version/${version}`)).toMatchObject(expected);
      expect(
        await alice.put(`/version/${version}`, { algorithm: ALGORITHM, auth_data: {} }),
      ).toMatchObject(expected);
      expect(await alice.delete(`/version/${version}`)).toMatchObject(expected);
      expect((await alice.get('/version')).body).toMatchObject({ version: '1' });
    });

    it('does not reveal the backups of another user', async () => {
      await alice.createBackup();
      const bob = application.client(`bob${users}`);
      expect((await bob.get('/version/1')).status).toBe(404);
      expect((await bob.delete('/version/1')).status).toBe(404);
      expect((await bob.put('/version/1', { algorithm: ALGORITHM, auth_data: {} })).status).toBe(
        404,
      );
      expect((await alice.get('/version/1')).status).toBe(200);
    });

    it('tells users apart whose ids differ in case or a trailing space only', async () => {
      const upper = application.client(`ALICE${users}`);
      const lower = application.client(`alice${users}`);
      await upper.createBackup({ who: 'upper' });
      expect((await lower.get('/version')).status).toBe(404);
    });
  });

  describe('PUT version/{version}', () => {
    const update = { algorithm: ALGORITHM, auth_data: { n: 'new' } };

    it('changes auth_data only, of any backup that is not deleted', async () => {
      await alice.createBackup({ n: 1 });
      await alice.put(`${keyPath('!r:hs1', 's')}?version=1`, keyData());
      await alice.createBackup({ n: 2 });
      const before = (await alice.get('/version/1')).body;
      expect(
        await alice.put('/version/1', { ...update, version: '1', more: 'ignored' }),
      ).toMatchObject({ status: 200, body: {} });
      expect((await alice.get('/version/1')).body).toEqual({ ...before, auth_data: { n: 'new' } });
      expect((await alice.get('/version/2')).body.auth_data).toEqual({ n: 2 });
    });

    it.each([
      ['another algorithm', { ...update, algorithm: 'org.example.other' }, 'M_INVALID_PARAM'],
      ['another version', { ...update, version: '2' }, 'M_INVALID_PARAM'],
      ['the version in another form', { ...update, version: '01' }, 'M_INVALID_PARAM'],
      ['a version that is a number', { ...update, version: 1 }, 'M_BAD_JSON'],
      ['no auth_data', { algorithm: ALGORITHM }, 'M_BAD_JSON'],
      ['no algorithm', { auth_data: {} }, 'M_BAD_JSON'],
    ])('refuses %s and changes nothing', async (_, body, errcode) => {
      await alice.createBackup({ n: 1 });
      expect(await alice.put('/version/1', body)).toMatchObject({ status: 400, body: { errcode } });
      expect((await alice.get('/version/1')).body.auth_data).toEqual({ n: 1 });
    });

    it('knows no deleted backup', async () => {
      await alice.createBackup();
      await alice.delete('/version/1');
      expect(await alice.put('/version/1', update)).toMatchObject({
        status: 404,
        body: { errcode: 'M_NOT_FOUND' },
      });
    });
  });

  describe('DELETE version/{version}', () => {
    it('takes information and keys away at once, and can be repeated', async () => {
      await alice.createBackup();
      await alice.put(`${keyPath('!r:hs1', 's')}?version=1`, keyData());
      expect(await alice.delete('/version/1')).toMatchObject({ status: 200, body: {} });
      expect((await alice.get('/version/1')).status).toBe(404);
      for (const path of [
        '/keys?version=1',
        '/keys/!r:hs1?version=1',
        '/keys/!r:hs1/s?version=1',
      ]) {
        expect(await alice.get(path)).toMatchObject({
          status: 404,
          body: { errcode: 'M_NOT_FOUND' },
        });
        expect(await alice.delete(path)).toMatchObject({
          status: 404,
          body: { errcode: 'M_NOT_FOUND' },
        });
      }
      expect(await alice.delete('/version/1')).toMatchObject({ status: 200, body: {} });
      expect(await alice.delete('/version/2')).toMatchObject({
        status: 404,
        body: { errcode: 'M_NOT_FOUND' },
      });
    });

    it('makes the one before current again, with its keys, and able to take more', async () => {
      await alice.createBackup();
      await alice.put(`${keyPath('!r:hs1', 'one')}?version=1`, keyData());
      await alice.createBackup();
      await alice.delete('/version/2');
      expect((await alice.get('/version')).body).toMatchObject({ version: '1', count: 1 });
      expect(await alice.put(`${keyPath('!r:hs1', 'two')}?version=1`, keyData())).toMatchObject({
        status: 200,
        body: { count: 2 },
      });
    });

    it('lets a client that sets up anew delete its way to the bottom', async () => {
      for (let n = 0; n < 3; n++) await alice.createBackup();
      for (let rounds = 0; rounds < 3; rounds++) {
        const { body } = await alice.get('/version');
        expect((await alice.delete(`/version/${body.version}`)).status).toBe(200);
      }
      expect((await alice.get('/version')).status).toBe(404);
    });
  });
});
