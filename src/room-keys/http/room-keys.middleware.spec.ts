/**
 * Proves which requests the middleware lets through to the routes, which it refuses, and which it
 * leaves alone, in front of a real Express that is set up as a host's may be.
 */
import { request, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ExpressAdapter } from '@nestjs/platform-express';
import bodyParser from 'body-parser';
import type { NextFunction, Request, Response } from 'express';
import { BackupKeysController } from './backup-keys.controller.js';
import { BackupVersionsController } from './backup-versions.controller.js';
import { routesOf } from './controllers.js';
import { roomKeysMiddleware, installMiddleware, PATH_PREFIXES } from './room-keys.middleware.js';
import { writeHead } from './responses.js';
import { type PathParameter, RoomKeysRequest } from './room-keys.request.js';

/** The contract's operations: each path below the prefix, with its methods and what it holds. */
const operations = [
  { path: '/version', methods: ['GET', 'HEAD', 'POST'], parameters: {} },
  { path: '/version/12', methods: ['DELETE', 'GET', 'HEAD', 'PUT'], parameters: { version: '12' } },
  { path: '/keys', methods: ['DELETE', 'GET', 'HEAD', 'PUT'], parameters: {} },
  {
    path: '/keys/!r:hs',
    methods: ['DELETE', 'GET', 'HEAD', 'PUT'],
    parameters: { roomId: '!r:hs' },
  },
  {
    path: '/keys/!r:hs/s',
    methods: ['DELETE', 'GET', 'HEAD', 'PUT'],
    parameters: { roomId: '!r:hs', sessionId: 's' },
  },
];

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'TRACE', 'PROPFIND'];
const PREFIX = `/${PATH_PREFIXES[0]}`;
const routes = routesOf([BackupVersionsController, BackupKeysController]);

// --- a host, and who asks it --------------------------------------------------------------------

/** What came through to the host. */
interface Arrived {
  url: string;
  /** The path by which Express chooses a route. */
  path: string;
  contentType: string | undefined;
  parsed: unknown;
  parameters: Record<string, string>;
}

interface Answer {
  status: number | undefined;
  headers: IncomingHttpHeaders;
  body: string;
  /** Unless the middleware answered. */
  arrived: Arrived | undefined;
}

let server: Server;
let arrived: Arrived | undefined;

/** The segments of the path that can be had, decoded. */
function parametersOf(incoming: Request): Record<string, string> {
  const names = Object.keys(RoomKeysRequest.of(incoming).segments) as PathParameter[];
  const pairs = names.map((name) => [name, segmentOf(incoming, name)]);
  return Object.fromEntries(pairs.filter(([, value]) => value !== ''));
}

function segmentOf(incoming: Request, name: PathParameter): string {
  try {
    return RoomKeysRequest.of(incoming)[name];
  } catch {
    return '';
  }
}

beforeAll(async () => {
  const adapter = new ExpressAdapter();
  adapter.use((_: Request, response: Response, next: NextFunction) => {
    // a host's own idea of CORS
    response.setHeader('Access-Control-Allow-Origin', 'https://host.example');
    response.setHeader('Access-Control-Allow-Credentials', 'true');
    next();
  });
  adapter.use(bodyParser.json({ limit: 20 }));
  adapter.use((incoming: Request, response: Response) => {
    arrived = {
      url: incoming.url,
      path: incoming.path,
      contentType: incoming.headers['content-type'],
      parsed: incoming.body,
      parameters: parametersOf(incoming),
    };
    // as each handler of ours answers
    if (incoming.path.startsWith('/_matrix/client/v3/room_keys/')) writeHead(response, 200, {});
    response.end('from the host');
  });
  installMiddleware(adapter, roomKeysMiddleware(routes));
  adapter.initHttpServer({});
  server = adapter.getHttpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function send(method: string, path: string, body = '{}'): Promise<Answer> {
  arrived = undefined;
  return new Promise((resolve, reject) => {
    const { port } = server.address() as AddressInfo;
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    };
    const outgoing = request({ host: '127.0.0.1', port, method, path, headers });
    outgoing.on('error', reject);
    outgoing.on('response', (incoming) => {
      const { statusCode: status, headers } = incoming;
      let body = '';
      incoming.setEncoding('utf8').on('data', (piece: string) => (body += piece));
      incoming.on('end', () => resolve({ status, headers, body, arrived }));
    });
    outgoing.end(body);
  });
}

const OPEN_TO_ALL = {
  'access-control-allow-origin': '*',
  'access-control-allow-methods': 'GET, POST, PUT, DELETE, OPTIONS',
  'access-control-allow-headers': 'X-Requested-With, Content-Type, Authorization',
  'access-control-expose-headers': 'Retry-After',
};

/** The middleware refused it, with CORS headers and without asking the host. */
function expectRefusal(answer: Answer, status: number): void {
  expect(answer).toMatchObject({ status, headers: OPEN_TO_ALL, arrived: undefined });
  expect(JSON.parse(answer.body)).toEqual({
    errcode: 'M_UNRECOGNIZED',
    error: expect.any(String),
  });
}

/** The middleware took no notice of it. */
function expectUntouched(answer: Answer, url: string): void {
  expect(answer.arrived).toMatchObject({ url, contentType: 'application/json', parameters: {} });
  expect(answer.headers).toMatchObject({ 'access-control-allow-origin': 'https://host.example' });
}

// --- the proofs ---------------------------------------------------------------------------------

describe('the routes', () => {
  it('are the five paths of the contract, with its fourteen methods, and HEAD', () => {
    const found = operations.map(({ path }) => {
      const matching = routes.filter(({ pattern }) => pattern.test(path));
      return {
        path,
        methods: matching.flatMap(({ operations }) => [...operations.keys()]).sort(),
        parameters: { ...matching[0]?.pattern.exec(path)?.groups },
      };
    });
    expect(found).toEqual(operations);
  });

  it('are no more than those', () => {
    expect(routes.map(({ pattern }) => pattern.source).sort()).toHaveLength(5);
    expect(routes.flatMap(({ operations }) => [...operations.keys()])).toHaveLength(
      14 + 5, // HEAD is GET without a body
    );
  });
});

describe('a request for an operation', () => {
  const everyOperation = PATH_PREFIXES.flatMap((prefix) =>
    operations.flatMap(({ path, methods, parameters }) =>
      methods.map((method) => ({
        method,
        url: `/${prefix}${path}`,
        // where the routes are
        routed: PREFIX + path,
        parameters,
      })),
    ),
  );

  it.each(everyOperation)(
    'comes through: $method $url',
    async ({ method, url, routed, parameters }) => {
      const answer = await send(method, `${url}?version=1`);
      expect(answer.arrived).toMatchObject({
        url: `${routed}?version=1`,
        path: routed,
        parameters,
      });
    },
  );

  it.each(everyOperation)('is open to any origin: $method $url', async ({ method, url }) => {
    const { headers } = await send(method, url);
    expect(headers).toMatchObject(OPEN_TO_ALL);
    expect(headers).not.toHaveProperty('access-control-allow-credentials');
  });

  it('passes the body parsers of a host, whatever their limit is', async () => {
    const body = JSON.stringify({ rooms: 'x'.repeat(1000) });
    const answer = await send('PUT', `${PREFIX}/keys`, body);
    expect(answer.arrived).toMatchObject({ contentType: undefined, parsed: undefined });
    // the same body elsewhere
    expect((await send('PUT', '/elsewhere', body)).status).toBe(413);
  });

  it.each([
    ['/keys?', '/keys'],
    ['/keys?version=1&version=2', '/keys'],
    ['/keys?a=%zz', '/keys'],
    ['/keys?a=/version', '/keys'],
    ['/keys?a?b', '/keys'],
    ['/version?/keys', '/version'],
  ])('may have any query: %s', async (url, path) => {
    const answer = await send('GET', PREFIX + url);
    expect(answer.arrived).toMatchObject({ url: PREFIX + url, path: PREFIX + path });
  });

  it.each([
    ['/keys/a%2Fb', { roomId: 'a/b' }],
    ['/keys/a%2fb/c%2Fd', { roomId: 'a/b', sessionId: 'c/d' }],
    ['/keys/%2F/%2F%2F', { roomId: '/', sessionId: '//' }],
    ['/keys/%3F/%23', { roomId: '?', sessionId: '#' }],
    ['/keys/a%25b/c+d%3D', { roomId: 'a%b', sessionId: 'c+d=' }],
    ['/keys/version/keys', { roomId: 'version', sessionId: 'keys' }],
    ['/keys/../.', { roomId: '..', sessionId: '.' }],
    ['/keys/%2e%2E/__proto__', { roomId: '..', sessionId: '__proto__' }],
    ['/keys/:r/:s', { roomId: ':r', sessionId: ':s' }],
    ['/keys/%F0%9F%94%91', { roomId: '🔑' }],
    ['/keys/Version', { roomId: 'Version' }],
    ['/version/keys', { version: 'keys' }],
    ['/version/1%2F2', { version: '1/2' }],
  ])('has its segments decoded one by one: %s', async (path, parameters) => {
    const answer = await send('GET', PREFIX + path);
    expect(answer.arrived?.parameters).toEqual(parameters);
  });

  it.each([
    ['/version/%zz', { version: '%zz' }],
    ['/version/%', { version: '%' }],
    ['/keys/%', {}],
    ['/keys/%FF/s', { sessionId: 's' }],
    ['/keys/a%2Fb/%C3', { roomId: 'a/b' }],
  ])('comes through although Express could not decode it: %s', async (path, parameters) => {
    const answer = await send('GET', `${PREFIX}${path}?version=%zz`);
    expect(answer.status).toBe(200);
    expect(answer.arrived?.parameters).toEqual(parameters);
    // what Express reads has as many segments, and the query is as it was
    expect(() => decodeURIComponent(answer.arrived!.path)).not.toThrow();
    expect(answer.arrived!.path.split('/')).toHaveLength(`${PREFIX}${path}`.split('/').length);
    expect(answer.arrived!.url).toMatch(/\?version=%zz$/);
  });
});

describe('an unknown path', () => {
  it.each([
    ['the prefix alone', ''],
    ['a slash alone', '/'],
    ['a word', '/unknown'],
    ['a word that begins like one of ours', '/versions'],
    ['a path below the last', '/keys/r/s/t'],
    ['a path below a version', '/version/1/keys'],
    ['a slash at the end of version', '/version/'],
    ['a slash at the end of a version', '/version/1/'],
    ['a slash at the end of keys', '/keys/'],
    ['a slash at the end of a room', '/keys/r/'],
    ['a slash at the end of a session', '/keys/r/s/'],
    ['two slashes', '//version'],
    ['an empty room id', '/keys//s'],
    ['upper case', '/VERSION'],
    ['one letter in upper case', '/Keys/r'],
    ['an encoded slash where a slash is meant', '/keys%2Fr'],
    ['an encoded slash in front', '/%2Fversion'],
    ['an encoded letter', '/version%73'],
    ['another encoded letter', '/%6Beys'],
    ['an encoded question mark', '/keys%3Fversion=1'],
    ['a space', '/keys%20'],
    ['dots that lead elsewhere', '/keys/../../version'],
    ['malformed encoding', '/%zz'],
    ['the prefix once more', `${PREFIX}/version`],
    ['nothing but the prefix once more', PREFIX],
  ])('is 404 for every method, without a token: %s', async (_, path) => {
    for (const prefix of PATH_PREFIXES) {
      for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH']) {
        expectRefusal(await send(method, `/${prefix}${path}`), 404);
      }
    }
  });

  it.each([
    '/_MATRIX/client/v3/room_keys/version',
    '/_matrix/CLIENT/v3/room_keys/version',
    '/_matrix/client/V3/room_keys/version',
    '/_matrix/client/R0/room_keys/keys/r/s',
    '/_matrix/client/Unstable/room_keys/keys',
    '/_matrix/client/v3/Room_Keys/version',
    '/_matrix/client/v3/ROOM_KEYS',
  ])('is one whose prefix is not in lower case, which Express would take: %s', async (path) => {
    expectRefusal(await send('GET', path), 404);
  });
});

describe('another method', () => {
  const others = operations.flatMap(({ path, methods }) =>
    METHODS.filter((method) => !methods.includes(method)).map((method) => ({
      method,
      path,
      methods,
    })),
  );

  it.each(others)('is 405, without a token: $method $path', async ({ method, path, methods }) => {
    for (const prefix of PATH_PREFIXES) {
      const answer = await send(method, `/${prefix}${path}?version=1`, '');
      expect(answer).toMatchObject({ status: 405, headers: OPEN_TO_ALL, arrived: undefined });
      expect(answer.headers.allow?.split(', ').sort()).toEqual([...methods, 'OPTIONS'].sort());
      if (method !== 'HEAD') expectRefusal(answer, 405);
    }
  });
});

describe('a preflight', () => {
  it.each([
    ...operations.map(({ path }) => PREFIX + path),
    `${PREFIX}/unknown`,
    PREFIX,
    '/_matrix/client/r0/room_keys/keys/r/s?version=1',
    '/_MATRIX/client/v3/room_keys/version',
  ])('is answered before the host can: %s', async (path) => {
    const answer = await send('OPTIONS', path, '');
    expect(answer).toMatchObject({
      status: 204,
      headers: { ...OPEN_TO_ALL, 'access-control-max-age': '86400' },
      body: '',
      arrived: undefined,
    });
    expect(answer.headers).not.toHaveProperty('access-control-allow-credentials');
  });

  it('is left to the host where the path is', async () => {
    expectUntouched(await send('OPTIONS', '/elsewhere'), '/elsewhere');
  });
});

describe('a path of the host', () => {
  it.each([
    '/',
    '/elsewhere',
    '/_matrix/client/v3',
    '/_matrix/client/v3/room_key',
    '/_matrix/client/v3/room_keysx/version',
    '/_matrix/client/v3/room_keys%2Fversion',
    '/_matrix/client/v3/sync',
    '/_matrix/client/v1/room_keys/version',
    '/_matrix/client/room_keys/version',
    '/_matrix/client/v3/user/room_keys/version',
    '/api/_matrix/client/v3/room_keys/version',
    '//_matrix/client/v3/room_keys/version',
    `/elsewhere?${PREFIX}/version`,
    '/%zz',
  ])('is left alone: %s', async (path) => {
    expectUntouched(await send('PUT', path), path);
  });
});

describe('a URL that Express reads in its own way', () => {
  const segments = { roomId: 'a/b', sessionId: 's' };

  it.each(['http://example.org', 'HTTP://example.org:8448', 'https://user@example.org'])(
    'is served like its path alone where it is whole: %s',
    async (origin) => {
      const path = `${PREFIX}/keys/a%2Fb/s`;
      const answer = await send('PUT', `${origin}${path}?version=1`);
      expect(answer.headers).toMatchObject(OPEN_TO_ALL);
      expect(answer.arrived).toMatchObject({ path, contentType: undefined, parameters: segments });
      expectRefusal(await send('PUT', `${origin}${PREFIX}/unknown`), 404);
      expectRefusal(await send('PATCH', `${origin}${path}`), 405);
    },
  );

  it('is left alone where it is whole and not ours', async () => {
    expectUntouched(await send('PUT', 'http://a.org/elsewhere'), 'http://a.org/elsewhere');
    expectUntouched(await send('PUT', `http://a.org?${PREFIX}`), `http://a.org?${PREFIX}`);
  });

  it.each([
    `${PREFIX.replace('/client/', '\\client/')}/version?#`,
    `${PREFIX.replace('/v3/', '/v3\\')}/version#`,
    `${PREFIX}\\version?#`,
    `${PREFIX}/version#`,
    `${PREFIX}/version?a#b`,
    `${PREFIX}#/version`,
    `${PREFIX}/keys\\r?\u00a0`,
  ])('never gets past the middleware to a route of ours: %s', async (url) => {
    const { arrived: through, headers } = await send('PUT', url);
    const routed = through?.path.startsWith(`${PREFIX}/`) ?? false;
    const entered = headers['access-control-allow-origin'] === '*';
    expect({ routed, entered }).not.toEqual({ routed: true, entered: false });
  });
});
