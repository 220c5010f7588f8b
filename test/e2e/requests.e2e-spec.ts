/**
 * Proves what holds for every request, before any key is touched: prefixes, tokens, CORS, unknown
 * paths and methods, the query, and bodies that are not what they should be. The answers do not
 * depend on the database; that nothing was stored is asked of each.
 */
import { request as httpRequest } from 'node:http';
import { gzipSync } from 'node:zlib';
import { RoomKeysService } from '../../src/index.js';
import { unknownToken } from '../../src/access-tokens/index.js';
import {
  startApplication,
  type TestApplication,
  verifyAccessToken,
} from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, MatrixClient, roomsBody } from '../support/matrix-client.js';

const ALGORITHM = 'm.megolm_backup.v1.curve25519-aes-sha2';

/** The 14 operations, with bodies that are right. */
const OPERATIONS: [method: string, path: string, body?: unknown][] = [
  ['POST', '/version', { algorithm: ALGORITHM, auth_data: {} }],
  ['GET', '/version'],
  ['GET', '/version/1'],
  ['PUT', '/version/1', { algorithm: ALGORITHM, auth_data: {} }],
  ['PUT', '/keys?version=1', { rooms: {} }],
  ['PUT', '/keys/!r:hs1?version=1', { sessions: {} }],
  ['PUT', '/keys/!r:hs1/s?version=1', keyData()],
  ['GET', '/keys?version=1'],
  ['GET', '/keys/!r:hs1?version=1'],
  ['GET', '/keys/!r:hs1/s?version=1'],
  ['DELETE', '/keys/!r:hs1/s?version=1'],
  ['DELETE', '/keys/!r:hs1?version=1'],
  ['DELETE', '/keys?version=1'],
  ['DELETE', '/version/1'],
];
const UPLOADS = OPERATIONS.filter(([method, path]) => method === 'PUT' && path.startsWith('/keys'));
const WITH_BODY = OPERATIONS.filter(([, , body]) => body !== undefined);

const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'GET, POST, PUT, DELETE, OPTIONS',
  'access-control-allow-headers': 'X-Requested-With, Content-Type, Authorization',
  'access-control-expose-headers': 'Retry-After',
};

describe.each(databases)('requests on $name', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let alice: MatrixClient;
  let users = 0;

  beforeAll(async () => {
    database = await create();
    application = await startApplication(database, {
      maxBodyBytes: 1024 * 1024,
      verifyAccessToken: (token, request) => {
        if (token === 'softly') throw unknownToken(true);
        return verifyAccessToken(token, request);
      },
    });
  });
  afterAll(async () => {
    await application.close();
    await database.drop();
  });
  beforeEach(() => {
    alice = application.client(`alice${users++}`);
  });

  const run = (client: MatrixClient, [method, path, body]: (typeof OPERATIONS)[number]) =>
    client.send(method, path, body === undefined ? undefined : JSON.stringify(body));

  it.each(['/_matrix/client/v3', '/_matrix/client/r0', '/_matrix/client/unstable'])(
    'serves the 14 operations under %s',
    async (prefix) => {
      const client = new MatrixClient(
        application.url,
        `alice${users}-${prefix.length}`,
        `${prefix}/room_keys`,
      );
      for (const operation of OPERATIONS) {
        expect([operation, (await run(client, operation)).status]).toEqual([operation, 200]);
      }
    },
  );

  describe('tokens', () => {
    const tokens: [what: string, token: string | undefined, status: number, body: object][] = [
      ['no token', undefined, 401, { errcode: 'M_MISSING_TOKEN' }],
      ['an unknown token', 'nobody', 401, { errcode: 'M_UNKNOWN_TOKEN' }],
      [
        'a token that was logged out softly',
        'softly',
        401,
        { errcode: 'M_UNKNOWN_TOKEN', soft_logout: true },
      ],
      ['a guest’s token', 'guest-zoe', 403, { errcode: 'M_GUEST_ACCESS_FORBIDDEN' }],
      ['a token that cannot be checked', 'down', 503, { errcode: 'M_UNKNOWN' }],
    ];

    it.each(tokens)(
      'refuses %s on every operation, and does nothing',
      async (_, token, status, body) => {
        const client = new MatrixClient(application.url, token);
        for (const operation of OPERATIONS) {
          const answer = await run(client, operation);
          expect([operation, answer.status]).toEqual([operation, status]);
          expect(answer.body).toMatchObject({ ...body, error: expect.any(String) as string });
          if (status !== 401) expect(answer.body.errcode).not.toBe('M_UNKNOWN_TOKEN');
          if (!('soft_logout' in body)) expect(answer.body).not.toHaveProperty('soft_logout');
          expect(Object.fromEntries(answer.headers)).toMatchObject(CORS);
        }
      },
    );

    it('tells a client to come back when the token could not be checked', async () => {
      const answer = await application.client('down').get('/version');
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    });

    it('reads the token from the query when there is none in the header', async () => {
      const client = new MatrixClient(application.url, undefined);
      expect((await client.get(`/version?access_token=alice${users}`)).status).toBe(404);
      expect((await client.get('/version?access_token=nobody')).status).toBe(401);
      expect((await client.get('/version?access_token=')).body.errcode).toBe('M_MISSING_TOKEN');
    });

    it('lets the header win over the query', async () => {
      expect((await alice.get('/version?access_token=nobody')).status).toBe(404);
    });

    it.each(['bearer x', 'BEARER x', 'Bearer   x'])(
      'takes the header %s',
      async (authorization) => {
        const response = await fetch(`${application.url}/_matrix/client/v3/room_keys/version`, {
          headers: { authorization },
        });
        expect(response.status).toBe(404);
      },
    );

    it.each(['Basic eDp5', 'Bearer', 'x', 'Bearer x y'])(
      'finds no token in the header %s',
      async (authorization) => {
        const response = await fetch(`${application.url}/_matrix/client/v3/room_keys/version`, {
          headers: { authorization },
        });
        expect(await response.json()).toMatchObject({ errcode: 'M_MISSING_TOKEN' });
      },
    );

    it('checks the token before query and body', async () => {
      const client = new MatrixClient(application.url, undefined);
      expect((await client.send('PUT', '/keys', '{')).status).toBe(401);
      expect((await client.get('/keys/%FF')).status).toBe(401);
    });
  });

  describe('paths and methods', () => {
    it.each([
      '',
      '/',
      '/versions',
      '/version/',
      '/version/1/',
      '/version/1/2',
      '/keys/',
      '/keys/a/',
      '/keys//b',
      '/keys/a/b/',
      '/keys/a/b/c',
      '/Version',
      '/KEYS',
      '//version',
      '/keys/a%2Fb/c/d',
    ])('does not know %s, whoever asks', async (path) => {
      for (const method of ['GET', 'PUT', 'POST', 'DELETE', 'PATCH']) {
        const answer = await rawRequest(
          application.url,
          method,
          `/_matrix/client/v3/room_keys${path}`,
        );
        expect(answer).toMatchObject({
          status: 404,
          body: { errcode: 'M_UNRECOGNIZED' },
          headers: CORS,
        });
      }
    });

    it.each(['/_MATRIX/client/v3/room_keys/version', '/_matrix/client/V3/room_keys/version'])(
      'does not know %s',
      async (path) => {
        expect(await rawRequest(application.url, 'GET', path)).toMatchObject({
          status: 404,
          body: { errcode: 'M_UNRECOGNIZED' },
        });
      },
    );

    it.each([
      ['/version', 'GET, HEAD, POST'],
      ['/version/1', 'DELETE, GET, HEAD, PUT'],
      ['/keys', 'DELETE, GET, HEAD, PUT'],
      ['/keys/!r:hs1', 'DELETE, GET, HEAD, PUT'],
      ['/keys/!r:hs1/s', 'DELETE, GET, HEAD, PUT'],
    ])('takes at %s only %s, whoever asks', async (path, allowed) => {
      for (const method of ['GET', 'PUT', 'POST', 'DELETE', 'PATCH', 'QUERY', 'PROPFIND'].filter(
        (one) => !allowed.includes(one),
      )) {
        const answer = await rawRequest(
          application.url,
          method,
          `/_matrix/client/v3/room_keys${path}`,
        );
        expect(answer).toMatchObject({ status: 405, headers: CORS });
        expect(answer.body).toMatchObject({ errcode: 'M_UNRECOGNIZED' });
        expect(
          answer.headers.allow
            ?.split(', ')
            .filter((one) => one !== 'OPTIONS')
            .sort()
            .join(', '),
        ).toBe(allowed);
      }
    });

    it('answers HEAD as GET, without the body', async () => {
      const alice = application.client('alice');
      const version = await alice.createBackup();
      await alice.put(`/keys?version=${version}`, roomsBody([['!r:hs1', 's', keyData()]]));
      for (const path of ['/version', '/version/99', `/keys?version=${version}`, '/keys']) {
        const url = `${application.url}/_matrix/client/v3/room_keys${path}`;
        const headers = { authorization: 'Bearer alice' };
        const get = await fetch(url, { headers });
        const head = await fetch(url, { headers, method: 'HEAD' });
        expect(head.status).toBe(get.status);
        expect(await head.text()).toBe('');
        for (const name of ['content-type', 'content-length', 'access-control-allow-origin'])
          expect(head.headers.get(name)).toBe(get.headers.get(name));
      }
      expect(application.app.get(RoomKeysService).activity().restores).toBe(0);
    });

    it('answers preflights of every path, without a token', async () => {
      for (const path of ['/version', '/version/1', '/keys', '/keys/a', '/keys/a/b']) {
        const response = await fetch(`${application.url}/_matrix/client/v3/room_keys${path}`, {
          method: 'OPTIONS',
          headers: { origin: 'https://app.example', 'access-control-request-method': 'PUT' },
        });
        expect(response.status).toBe(204);
        expect(Object.fromEntries(response.headers)).toMatchObject(CORS);
      }
    });
  });

  it('carries the CORS headers on every answer', async () => {
    for (const operation of OPERATIONS) {
      expect(Object.fromEntries((await run(alice, operation)).headers)).toMatchObject(CORS);
    }
    expect(Object.fromEntries((await alice.get('/version')).headers)).toMatchObject(CORS);
  });

  it('forbids caching of responses', async () => {
    await alice.createBackup();
    for (const path of ['/version', '/keys?version=1', '/version/2']) {
      expect((await alice.get(path)).headers.get('cache-control')).toBe('no-store');
    }
  });

  describe('the query parameter version', () => {
    it.each([
      ['', 'M_MISSING_PARAM'],
      ['?version=', 'M_MISSING_PARAM'],
      ['?version', 'M_MISSING_PARAM'],
      ['?Version=1', 'M_MISSING_PARAM'],
      ['?version[]=1', 'M_MISSING_PARAM'],
      ['?version=1&version=1', 'M_INVALID_PARAM'],
      ['?version=1&version=2', 'M_INVALID_PARAM'],
      ['?version=&version=1', 'M_INVALID_PARAM'],
    ])('refuses %s', async (query, errcode) => {
      await alice.createBackup();
      for (const [method, path, body] of OPERATIONS.filter(([, one]) => one.startsWith('/keys'))) {
        const answer = await run(alice, [method, path.replace('?version=1', query), body]);
        expect(answer).toMatchObject({ status: 400, body: { errcode } });
      }
    });
  });

  describe('bodies', () => {
    beforeEach(() => alice.createBackup());
    const untouched = async () => {
      expect((await alice.get('/version')).body).toMatchObject({
        version: '1',
        count: 0,
        etag: '0',
      });
    };
    const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
    const key = JSON.stringify(keyData());

    it.each<[string, string | Uint8Array<ArrayBuffer>]>([
      ['nothing', ''],
      ['no JSON', 'version=1'],
      ['half an object', '{"rooms":{'],
      ['two objects', '{}{}'],
      ['a trailing comma', '{"rooms":{},}'],
      ['single quotes', "{'rooms':{}}"],
      ['NaN', '{"rooms":NaN}'],
      ['a control character in a string', '{"rooms":"\n"}'],
      ['a number with a leading zero', '{"rooms":01}'],
      ['invalid UTF-8', Uint8Array.from([0x22, 0xff, 0x22])],
      [
        'invalid UTF-8 inside an object',
        Uint8Array.from(Buffer.from('{"rooms":{"\xe9":1}}', 'latin1')),
      ],
      ['UTF-16', Uint8Array.from(Buffer.from('{"rooms":{}}', 'utf16le'))],
    ])('refuses %s as no JSON', async (_, body) => {
      for (const [method, path] of WITH_BODY) {
        expect(await alice.send(method, path, body)).toMatchObject({
          status: 400,
          body: { errcode: 'M_NOT_JSON' },
        });
      }
      await untouched();
    });

    it.each([
      ['null', 'null'],
      ['a number', '1'],
      ['true', 'true'],
      ['a string', '"x"'],
      ['an array', '[]'],
      ['an empty object', '{}'],
      ['objects nested 10,000 times', nested(10_000)],
      ['arrays nested 10,000 times', '['.repeat(10_000) + ']'.repeat(10_000)],
      ['arrays nested 10,000 times and never closed', '['.repeat(10_000)],
    ])('refuses %s as of the wrong shape', async (_, body) => {
      for (const [method, path] of WITH_BODY) {
        expect(await alice.send(method, path, body)).toMatchObject({
          status: 400,
          body: { errcode: 'M_BAD_JSON' },
        });
      }
      await untouched();
    });

    it.each([
      ['/keys', '{"rooms":[]}'],
      ['/keys', '{"rooms":null}'],
      ['/keys', '{"Rooms":{}}'],
      ['/keys', '{"rooms":{"!r":null}}'],
      ['/keys', '{"rooms":{"!r":{}}}'],
      ['/keys', '{"rooms":{"!r":{"sessions":[]}}}'],
      ['/keys', '{"rooms":{"!r":{"sessions":{"s":null}}}}'],
      ['/keys', '{"rooms":{"!r":{"sessions":{"s":{}}}}}'],
      ['/keys', `{"rooms":{},"rooms":{"!r":{"sessions":{"s":${key}}}}}`],
      ['/keys', `{"rooms":{"!r":{"sessions":{"s":${key}}},"!r":{"sessions":{"t":${key}}}}}`],
      ['/keys', `{"rooms":{"!r":{"sessions":{"s":${key},"s":${key}}}}}`],
      ['/keys', `{"rooms":{"!r":{"sessions":{"s":${key},"\\u0073":${key}}}}}`],
      ['/keys/!r', '{"sessions":null}'],
      ['/keys/!r', '{"sessions":{"s":[]}}'],
      ['/keys/!r', '{"rooms":{}}'],
      ['/keys/!r/s', '{"sessions":{}}'],
    ])('refuses at %s the body %s', async (path, body) => {
      expect(await alice.send('PUT', `${path}?version=1`, body)).toMatchObject({
        status: 400,
        body: { errcode: 'M_BAD_JSON' },
      });
      await untouched();
    });

    const wrongFields = {
      first_message_index: [
        '-1',
        '0.5',
        '9007199254740992',
        '1e400',
        '"0"',
        'true',
        'null',
        '[]',
        '{}',
        undefined,
      ],
      forwarded_count: [
        '-1',
        '0.5',
        '9007199254740992',
        '-1e400',
        '"0"',
        'false',
        'null',
        '[]',
        '{}',
        undefined,
      ],
      is_verified: ['0', '1', '"true"', 'null', '[]', '{}', undefined],
      session_data: ['null', '1', '"x"', 'true', '[]', undefined],
    };
    it.each(
      Object.entries(wrongFields).flatMap(([field, values]) =>
        values.map((value) => [field, value] as const),
      ),
    )('refuses a key with %s %s, and names the field', async (field, value) => {
      const members = Object.entries(keyData()).map(([name, right]) => [
        name,
        JSON.stringify(right),
      ]);
      const wrong = members
        .map(([name, right]) => [name, name === field ? value : right])
        .filter(([, text]) => text !== undefined);
      const one = `{${wrong.map(([name, text]) => `"${name}":${text}`).join(',')}}`;
      const bodies = [
        `{"rooms":{"!r":{"sessions":{"s":${one}}}}}`,
        `{"sessions":{"s":${one}}}`,
        one,
      ];
      for (const [index, [method, path]] of UPLOADS.entries()) {
        const answer = await alice.send(method, path, bodies[index]);
        expect(answer).toMatchObject({ status: 400, body: { errcode: 'M_BAD_JSON' } });
        expect(answer.body.error).toContain(field);
      }
      await untouched();
    });

    it.each(['1.0', '1e0', '10e-1', '-0', '9007199254740991', '9007199254740991.0'])(
      'takes %s for a whole number',
      async (number) => {
        const body = `{"first_message_index":${number},"forwarded_count":0,"is_verified":false,"session_data":{}}`;
        expect((await alice.send('PUT', '/keys/!r/s?version=1', body)).status).toBe(200);
        expect((await alice.get('/keys/!r/s?version=1')).body.first_message_index).toBe(
          Number(number) + 0,
        );
      },
    );

    it.each<[string, Record<string, string>]>([
      ['no content type', { 'Content-Type': '' }],
      ['a form’s content type', { 'Content-Type': 'application/x-www-form-urlencoded' }],
      ['text', { 'Content-Type': 'text/plain; charset=iso-8859-1' }],
      ['a content type that is none', { 'Content-Type': 'nonsense' }],
    ])('reads JSON with %s', async (_, headers) => {
      const answer = await alice.send(
        'PUT',
        '/keys/!r/s?version=1',
        JSON.stringify(keyData()),
        headers,
      );
      expect(answer.status).toBe(200);
    });

    it('reads a body that is compressed', async () => {
      const body = Uint8Array.from(gzipSync(JSON.stringify(keyData())));
      expect(
        (await alice.send('PUT', '/keys/!r/s?version=1', body, { 'Content-Encoding': 'gzip' }))
          .status,
      ).toBe(200);
    });

    it.each<[string, () => Uint8Array<ArrayBuffer>, Record<string, string>]>([
      ['one byte too large', () => Uint8Array.from(Buffer.alloc(1024 * 1024 + 1, 0x20)), {}],
      ['of 64 MiB', () => Uint8Array.from(Buffer.alloc(64 * 1024 * 1024, 0x20)), {}],
      [
        'too large once it is decompressed',
        () => Uint8Array.from(gzipSync(Buffer.alloc(64 * 1024 * 1024, 0x20))),
        { 'Content-Encoding': 'gzip' },
      ],
    ])('refuses a body %s, and says so', async (_, body, headers) => {
      const bytes = body();
      for (const [method, path] of WITH_BODY) {
        expect(await alice.send(method, path, bytes, headers)).toMatchObject({
          status: 413,
          body: { errcode: 'M_TOO_LARGE' },
        });
      }
      await untouched();
    });

    it.each<[string, string, number, string]>([
      ['an encoding that nobody knows', 'zip', 415, 'M_UNKNOWN'],
      ['an encoding that it is not in', 'gzip', 400, 'M_NOT_JSON'],
    ])('refuses a body with %s', async (_, encoding, status, errcode) => {
      expect(
        await alice.send('PUT', '/keys/!r/s?version=1', '{}', { 'Content-Encoding': encoding }),
      ).toMatchObject({ status, body: { errcode } });
    });

    it('ignores a body where none belongs', async () => {
      for (const [method, path] of OPERATIONS.filter(
        ([method, , body]) => method === 'DELETE' && body === undefined,
      )) {
        expect((await alice.send(method, path, 'not JSON')).status).toBe(200);
      }
    });

    it('checks the body before it looks for the backup', async () => {
      expect((await alice.send('PUT', '/keys?version=7', '{')).status).toBe(400);
      expect((await alice.put('/keys?version=7', { rooms: {} })).status).toBe(404);
    });
  });

  it('stores 100 keys of the size that clients send in one request', async () => {
    await alice.createBackup();
    const keys = realKeys(100);
    const body = roomsBody(keys);
    expect(JSON.stringify(body).length).toBeGreaterThan(86_000);
    expect((await alice.put('/keys?version=1', body)).body).toMatchObject({ count: 100 });
    expect((await alice.get('/keys?version=1')).body).toEqual(body);
    expect((await alice.put('/keys?version=1', body)).body).toMatchObject({
      count: 100,
      etag: '1',
    });
  });
});

describe.each(databases)('a huge value on $name', ({ create }) => {
  it('is stored, or refused as too large, and never a fault of the server', async () => {
    const database = await create();
    const application = await startApplication(database);
    const alice = application.client('alice');
    await alice.createBackup();
    for (const text of ['x'.repeat(15_000_000), '\\\\'.repeat(7_000_000), 'é'.repeat(7_000_000)]) {
      const key = `{"first_message_index":0,"forwarded_count":0,"is_verified":false,"session_data":{"x":"${text}"}}`;
      const { count } = (await alice.get('/version')).body as { count: number };
      const { status, body } = await alice.send('PUT', `/keys/!r/${count}?version=1`, key);
      expect([200, 413]).toContain(status);
      if (status === 413) expect(body).toMatchObject({ errcode: 'M_TOO_LARGE' });
      else
        expect((await alice.get(`/keys/!r/${count}?version=1`)).body.session_data).toEqual(
          JSON.parse(`{"x":"${text}"}`),
        );
      expect((await alice.get('/version')).body.count).toBe(status === 200 ? count + 1 : count);
    }
    await application.close();
    await database.drop();
  });
});

describe.each(databases)('a large upload on $name', ({ create }) => {
  it('stores 5,000 keys in one request, replaces them, and reads them back', async () => {
    const database = await create();
    const application = await startApplication(database);
    const alice = application.client('alice');
    await alice.createBackup();
    const keys = realKeys(5000);
    const body = roomsBody(keys);
    expect(JSON.stringify(body).length).toBeGreaterThan(4_000_000);
    expect((await alice.put('/keys?version=1', body)).body).toEqual({ count: 5000, etag: '1' });
    expect((await alice.get('/keys?version=1')).body).toEqual(body);
    const better = roomsBody(
      keys.map(([roomId, sessionId, key]) => [roomId, sessionId, { ...key, is_verified: true }]),
    );
    expect((await alice.put('/keys?version=1', better)).body).toEqual({ count: 5000, etag: '2' });
    expect((await alice.put('/keys?version=1', body)).body).toEqual({ count: 5000, etag: '2' });
    expect((await alice.get('/keys?version=1')).body).toEqual(better);
    expect((await alice.delete('/keys?version=1')).body).toEqual({ count: 0, etag: '3' });
    await application.close();
    await database.drop();
  });
});

describe('an upload of many keys', () => {
  it('holds 20,000 at most, and is refused as too large beyond, with nothing of it stored', async () => {
    const database = await databases[0]!.create();
    const application = await startApplication(database);
    const alice = application.client('alice');
    await alice.createBackup();
    const tiny = (count: number) =>
      roomsBody(
        Array.from(
          { length: count },
          (_, n) => ['!r', `${n}`, keyData({ session_data: {} })] as const,
        ),
      );
    const refused = await alice.put('/keys?version=1', tiny(20_001));
    expect(refused).toMatchObject({ status: 413, body: { errcode: 'M_TOO_LARGE' } });
    expect(refused.body.error).toContain('20000');
    expect((await alice.get('/version')).body).toMatchObject({ count: 0, etag: '0' });
    expect((await alice.put('/keys?version=1', tiny(20_000))).body).toEqual({
      count: 20_000,
      etag: '1',
    });
    await application.close();
    await database.drop();
  });

  it('would have to be larger than a body may be, for real keys to be so many', () => {
    const body = JSON.stringify(roomsBody(realKeys(20_000)));
    expect(body.length).toBeGreaterThan(16 * 1024 * 1024);
  });
});

/** Keys as matrix-js-sdk sends them: about 860 bytes each, in six rooms. */
function realKeys(count: number) {
  return Array.from({ length: count }, (_, n) => {
    const sessionId = Buffer.from(`${n}`.padStart(32, 'session/')).toString('base64').slice(0, 43);
    const session_data = {
      ephemeral: 'e'.repeat(43),
      ciphertext: Buffer.from(`${n}-`.repeat(480)).toString('base64').slice(0, 640),
      mac: 'm'.repeat(11),
    };
    return [`!NhgaRTDyfsYCcfagx${n % 6}:hs1`, sessionId, keyData({ session_data })] as const;
  });
}

/** A request whose path no client library tidies up. */
async function rawRequest(url: string, method: string, path: string) {
  const { hostname, port } = new URL(url);
  return new Promise<{
    status: number;
    headers: Record<string, string | undefined>;
    body: unknown;
  }>((resolve, reject) => {
    const sent = httpRequest({ hostname, port, method, path }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => {
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers as Record<string, string | undefined>,
          body: text === '' ? undefined : (JSON.parse(text) as unknown),
        });
      });
    });
    sent.on('error', reject);
    sent.end();
  });
}
