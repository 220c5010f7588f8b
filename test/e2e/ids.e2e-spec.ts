/** Proves that room ids and session ids are opaque: whatever two of them share, they stay two, on each database. */
import { type TestApplication, startApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, keyPath, type MatrixClient, roomsBody } from '../support/matrix-client.js';

const IDS = [
  'order-1',
  'Order-1',
  'ORDER-1',
  'order-1 ',
  ' order-1',
  'order-1\u00a0',
  'cafe',
  'café',
  'cafe\u0301',
  'straße',
  'strasse',
  'İ',
  'i',
  'ı',
  'ﬁ',
  'fi',
  'a/b',
  'a%2Fb',
  'a+b',
  'a b',
  'a=b',
  'a%b',
  'a&b',
  'a?b',
  'a#b',
  'a\\b',
  'a"b',
  "a'b",
  'a`b',
  'a\tb',
  'a\nb',
  'a\0b',
  'a\0c',
  'a',
  '%',
  '%25',
  '😀',
  '😁',
  '\u{10ffff}',
  '\ufffd',
  '\u200b',
  '\ufeff',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  'sessions',
  'null',
  '0',
  '00',
  '1',
  '-1',
  'x'.repeat(255),
  `${'x'.repeat(254)}y`,
  'é'.repeat(127),
  '!NhgaRTDyfsYCcfagxc:hs1',
  '!Ba7QqFf4zaWi2IwpfRUlgcpW-d63Lewo6KYXDYxf8rk',
  'EYB5f3U1cbOvLQB3RxwPTlKE/b6UyDUw74doOEGUrmA',
];

describe.each(databases)('ids on $name', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let alice: MatrixClient;
  let users = 0;

  beforeAll(async () => {
    database = await create();
    application = await startApplication(database);
  });
  afterAll(async () => {
    await application.close();
    await database.drop();
  });
  beforeEach(async () => {
    alice = application.client(`alice${users++}`);
    await alice.createBackup();
  });

  const key = (n: number) => keyData({ session_data: { n } });
  /** As a map from id to number: an object of ids has no order to rely on. */
  const numbers = (entries: [string, { session_data: { n: number } }][]) =>
    new Map(entries.map(([id, { session_data }]) => [id, session_data.n]));
  const expected = new Map(IDS.map((id, n) => [id, n]));

  it('keeps session ids apart, all sent at once', async () => {
    await alice.put('/keys?version=1', roomsBody(IDS.map((id, n) => ['!r:hs1', id, key(n)])));
    const { body } = await alice.get('/keys?version=1');
    expect(numbers(Object.entries(body.rooms['!r:hs1'].sessions))).toEqual(expected);
    for (const [n, id] of IDS.entries()) {
      expect((await alice.get(`${keyPath('!r:hs1', id)}?version=1`)).body.session_data).toEqual({
        n,
      });
    }
  });

  it('keeps room ids apart, sent one by one', async () => {
    for (const [n, id] of IDS.entries()) {
      expect((await alice.put(`${keyPath(id, 's')}?version=1`, key(n))).body.count).toBe(n + 1);
    }
    const { body } = await alice.get('/keys?version=1');
    const rooms = body.rooms as Record<
      string,
      { sessions: { s: { session_data: { n: number } } } }
    >;
    expect(numbers(Object.entries(rooms).map(([id, { sessions }]) => [id, sessions.s]))).toEqual(
      expected,
    );
    for (const [n, id] of IDS.entries()) {
      expect((await alice.get(`${keyPath(id)}?version=1`)).body.sessions.s.session_data).toEqual({
        n,
      });
    }
  });

  it('deletes exactly the one that is named', async () => {
    await alice.put(
      '/keys?version=1',
      roomsBody(
        IDS.flatMap(
          (id, n) =>
            [
              [id, 's', key(n)],
              ['!r:hs1', id, key(n)],
            ] as const,
        ),
      ),
    );
    for (const [n, id] of IDS.entries()) {
      expect((await alice.delete(`${keyPath('!r:hs1', id)}?version=1`)).body.count).toBe(
        2 * IDS.length - 2 * n - 1,
      );
      expect((await alice.delete(`${keyPath(id)}?version=1`)).body.count).toBe(
        2 * IDS.length - 2 * n - 2,
      );
    }
  });

  it('tells where the room id ends and the session id begins', async () => {
    await alice.put(
      '/keys?version=1',
      roomsBody([
        ['ab', 'c', key(1)],
        ['a', 'bc', key(2)],
      ]),
    );
    expect((await alice.get(`${keyPath('ab', 'c')}?version=1`)).body.session_data).toEqual({
      n: 1,
    });
    expect((await alice.get(`${keyPath('a', 'bc')}?version=1`)).body.session_data).toEqual({
      n: 2,
    });
    expect((await alice.get(`${keyPath('abc', '')}?version=1`)).status).toBe(404);
  });

  it.each([
    ['256 bytes', 'x'.repeat(256)],
    ['128 characters of 2 bytes', 'é'.repeat(128)],
    ['64 emoji', '😀'.repeat(64)],
  ])('refuses an id of %s', async (_, id) => {
    const refused = { status: 400, body: { errcode: 'M_INVALID_PARAM' } };
    expect(await alice.put('/keys?version=1', roomsBody([['!r:hs1', id, key(0)]]))).toMatchObject(
      refused,
    );
    expect(await alice.put('/keys?version=1', roomsBody([[id, 's', key(0)]]))).toMatchObject(
      refused,
    );
    for (const path of [keyPath(id), keyPath(id, 's'), keyPath('!r:hs1', id)]) {
      expect(await alice.get(`${path}?version=1`)).toMatchObject(refused);
      expect(await alice.delete(`${path}?version=1`)).toMatchObject(refused);
    }
    expect((await alice.get('/version')).body.count).toBe(0);
  });

  it('refuses ids that no UTF-8 can hold', async () => {
    const refused = { status: 400, body: { errcode: 'M_INVALID_PARAM' } };
    const body = `{"rooms":{"!r:hs1":{"sessions":{"a\\ud800":${JSON.stringify(key(0))}}}}}`;
    expect(await alice.send('PUT', '/keys?version=1', body)).toMatchObject(refused);
    expect(await alice.get('/keys/%FF?version=1')).toMatchObject(refused);
    expect(await alice.get('/keys/a%?version=1')).toMatchObject(refused);
    expect(await alice.get('/keys/!r/%ed%a0%80?version=1')).toMatchObject(refused);
  });

  it('refuses an empty id in a body, which no path could name', async () => {
    expect(await alice.put('/keys?version=1', roomsBody([['!r:hs1', '', key(0)]]))).toMatchObject({
      status: 400,
      body: { errcode: 'M_INVALID_PARAM' },
    });
  });
});
