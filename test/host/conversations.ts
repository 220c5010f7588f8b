/** The requests that are sent to two servers, to compare what comes back. */
import { gzipSync } from 'node:zlib';
import { keyData, keyPath, roomsBody } from '../support/matrix-client.js';
import { exchange, type Received, type Sent } from './exchange.js';

export type Line = readonly [title: string, sent: Sent];
export type Answered = Received & { title: string };

/** Sends one request after the other, and leaves out of the answers the headers that may differ. */
export async function transcript(
  url: string,
  lines: readonly Line[],
  otherHeaders: readonly string[],
): Promise<Answered[]> {
  const answers: Answered[] = [];
  for (const [title, sent] of lines) {
    const { status, headers, body } = await exchange(url, sent);
    const compared = Object.entries(headers).filter(([name]) => !otherHeaders.includes(name));
    answers.push({ title, status, headers: Object.fromEntries(compared), body });
  }
  return answers;
}

/** Headers of the connection, and of the moment. */
export const OF_THE_MOMENT = ['date', 'connection', 'keep-alive', 'x-request-id'];

const ALGORITHM = 'm.megolm_backup.v1.curve25519-aes-sha2';
const BROWSER = { origin: 'https://app.example' };

/** A request to the API, as a browser at another origin than the host allows would send it. */
function api(
  method: string,
  path: string,
  body?: unknown,
  { token = 'alice/PHONE', prefix = '/_matrix/client/v3', headers = {} } = {},
): Sent {
  const raw = typeof body === 'string' || body instanceof Uint8Array;
  return {
    method,
    path: `${prefix}/room_keys${path}`,
    headers: {
      ...BROWSER,
      ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: raw ? body : JSON.stringify(body) }),
  };
}

const backup = {
  algorithm: ALGORITHM,
  auth_data: { public_key: 'abc', big: 12345678901234567890n },
};
const text = (value: object) =>
  JSON.stringify(value, (_, member: unknown) =>
    typeof member === 'bigint' ? `@${member}@` : member,
  ).replaceAll(/"@(\d+)@"/g, '$1');

/** Ids that a host's parsers, routers and pipes could stumble over. */
const STRANGE = [
  ['!a/b:hs1', 'with/slash+plus%25=='],
  ['!r:hs1', '__proto__'],
  ['constructor', 'api'],
  ['!ü 🗝️:hs1', ' '],
] as const;

/** Ids that are one to a host's pipe that trims what it is given. */
const ALIKE = [
  ['!same', 's'],
  ['!same ', 's'],
  ['!same', ' s'],
] as const;

const large = roomsBody(
  Array.from({ length: 1000 }, (_, n) => [
    `!room${n % 6}:hs1`,
    `session/${n}`,
    keyData({ session_data: { ciphertext: 'c'.repeat(4000), n } }),
  ]),
);

const OPERATIONS: readonly (readonly [method: string, path: string, body?: unknown])[] = [
  ['POST', '/version', { algorithm: ALGORITHM, auth_data: {} }],
  ['GET', '/version'],
  ['GET', '/version/1'],
  ['PUT', '/version/1', { algorithm: ALGORITHM, auth_data: { public_key: 'def' } }],
  ['PUT', '/keys?version=1', roomsBody([['!r:hs1', 's', keyData()]])],
  ['PUT', '/keys/!r:hs1?version=1', { sessions: { t: keyData() } }],
  ['PUT', '/keys/!r:hs1/u?version=1', keyData()],
  ['GET', '/keys?version=1'],
  ['GET', '/keys/!r:hs1?version=1'],
  ['GET', '/keys/!r:hs1/s?version=1'],
  ['DELETE', '/keys/!r:hs1/s?version=1'],
  ['DELETE', '/keys/!r:hs1?version=1'],
  ['DELETE', '/keys?version=1'],
  ['DELETE', '/version/1'],
];

const line = (
  title: string,
  [method, path, body]: readonly [string, string, unknown?],
  how?: Parameters<typeof api>[3],
): Line => [`${title}: ${method} ${path.slice(0, 60)}`, api(method, path, body, how)];

/** Each operation, each kind of error, large bodies, strange ids; one user's story after the other. */
export const KEY_BACKUP: readonly Line[] = [
  ...['/_matrix/client/v3', '/_matrix/client/r0', '/_matrix/client/unstable'].flatMap((prefix) =>
    OPERATIONS.map((operation) =>
      line(`an operation under ${prefix}`, operation, { prefix, token: `user${prefix.length}` }),
    ),
  ),
  ...OPERATIONS.map((operation) => line('without a token', operation, { token: '' })),
  ...['nobody', 'guest-zoe', 'down'].map((token) =>
    line(`with the token ${token}`, ['GET', '/version'], { token }),
  ),
  line('a token in the query', ['GET', '/version?access_token=alice'], { token: '' }),
  line('before there is a backup', ['GET', '/version']),
  line('numbers beyond 2^53', ['POST', '/version', text(backup)]),
  line('they come back', ['GET', '/version']),
  ...STRANGE.flatMap(([roomId, sessionId]) => [
    line('a strange id', ['PUT', `${keyPath(roomId, sessionId)}?version=1`, keyData()]),
    line('a strange id', ['GET', `${keyPath(roomId, sessionId)}?version=1`]),
    line('a strange id', ['GET', `${keyPath(roomId)}?version=1`]),
  ]),
  ...ALIKE.map(([roomId, sessionId]) =>
    line('an id with a space', ['PUT', `${keyPath(roomId, sessionId)}?version=1`, keyData()]),
  ),
  line('ids with spaces', [
    'PUT',
    '/keys?version=1',
    roomsBody(
      ALIKE.map(([roomId, sessionId]) => [roomId.replace('same', 'all'), sessionId, keyData()]),
    ),
  ]),
  line('a room with a space', [
    'PUT',
    `${keyPath('!alike')}?version=1`,
    { sessions: { s: keyData(), ' s': keyData(), 's ': keyData() } },
  ]),
  line('what has a space is deleted, alone', ['DELETE', `${keyPath('!same ', 's')}?version=1`]),
  line('a version with a space', ['GET', '/version/1%20']),
  line('a version with a space', ['GET', '/keys?version=1%20']),
  line('ids that are maps’ own names', [
    'PUT',
    '/keys?version=1',
    '{"rooms":{"__proto__":{"sessions":{"constructor":{"first_message_index":1,"forwarded_count":0,"is_verified":true,"session_data":{"__proto__":1}}}}}}',
  ]),
  line('all of it', ['GET', '/keys?version=1']),
  line('4 MB', ['PUT', '/keys?version=1', large]),
  line('4 MB again', ['PUT', '/keys?version=1', large]),
  line('4 MB, compressed', ['PUT', '/keys?version=1', gzipSync(JSON.stringify(large))], {
    headers: { 'content-encoding': 'gzip' },
  }),
  line('4 MB back', ['GET', '/keys?version=1']),
  line('over the limit', ['PUT', '/keys?version=1', Buffer.alloc(17 * 1024 * 1024, 0x20)]),
  line(
    'over the limit once it is decompressed',
    ['PUT', '/keys?version=1', gzipSync(Buffer.alloc(17 * 1024 * 1024, 0x20))],
    { headers: { 'content-encoding': 'gzip' } },
  ),
  line('no body', ['PUT', '/keys?version=1']),
  line('an empty body', ['PUT', '/keys?version=1', '']),
  line('no JSON', ['PUT', '/keys?version=1', '{"rooms":']),
  line('the wrong shape', ['PUT', '/keys?version=1', { rooms: { '!r': { sessions: { s: {} } } } }]),
  line('an array', ['POST', '/version', []]),
  line('members that nobody asked for', [
    'PUT',
    '/keys/!r:hs1?version=1',
    { sessions: { x: { ...keyData(), colour: 'red' } }, colour: 'red' },
  ]),
  ...[
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'x',
  ].map((type) =>
    line(`JSON that calls itself ${type}`, ['PUT', '/keys/!r:hs1/y?version=1', keyData()], {
      headers: { 'content-type': type },
    }),
  ),
  line('an unknown algorithm', ['POST', '/version', { algorithm: 'rot13', auth_data: {} }]),
  line('no version', ['GET', '/keys']),
  line('two versions', ['GET', '/keys?version=1&version=2']),
  line('a version in brackets', ['GET', '/keys?version[]=1']),
  line('a version that is none', ['GET', '/version/01']),
  line('a version that is a word', ['GET', '/keys?version=true']),
  line('an unknown key', ['GET', '/keys/!r:hs1/none?version=1']),
  line('bad percent-encoding', ['GET', '/keys/%FF?version=1']),
  line('an id that is too long', ['GET', `/keys/${'r'.repeat(256)}?version=1`]),
  line('a second backup', ['POST', '/version', { algorithm: ALGORITHM, auth_data: {} }]),
  line('the older one', ['PUT', '/keys?version=1', { rooms: {} }]),
  line('a path that is none', ['GET', '/versions']),
  line('a path that is none', ['GET', '/version/']),
  line('a path in capitals', ['GET', '/VERSION']),
  line('a method that is none', ['PATCH', '/version']),
  line('the head of an answer', ['HEAD', '/version']),
  line('the head of a restore', ['HEAD', '/keys?version=1']),
  line('a method that is none', ['POST', '/keys']),
  ...['/version', '/keys', '/keys/a%2Fb/c'].map((path) =>
    line('a preflight', ['OPTIONS', path], {
      token: '',
      headers: { 'access-control-request-method': 'PUT' },
    }),
  ),
];

/** What a user of the host does. `prefix` is where its routes are. */
export function hostsOwn(prefix = '/api'): readonly Line[] {
  const allowed = { origin: 'https://only.example' };
  const json = { 'content-type': 'application/json', ...allowed };
  const post = (body: unknown, headers: Record<string, string> = json): Sent => ({
    method: 'POST',
    path: `${prefix}/notes`,
    headers,
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const get = (path: string): Sent => ({ method: 'GET', path, headers: allowed });
  return [
    ['stores', post({ title: 'first' })],
    ['refuses a member it does not know', post({ title: 'x', shape: 'round' })],
    ['refuses 150 kB', post({ title: 'x'.repeat(150_000) })],
    [
      'answers a preflight',
      {
        method: 'OPTIONS',
        path: `${prefix}/notes`,
        headers: { ...allowed, 'access-control-request-method': 'POST' },
      },
    ],
    ['does not know a path', get(`${prefix}/nowhere`)],
    ['takes 90 kB, or not', post({ title: 'x'.repeat(90_000) })],
    ['refuses what is not JSON', post('{')],
    [
      'reads a form',
      post('title=from+a+form', {
        ...allowed,
        'content-type': 'application/x-www-form-urlencoded',
      }),
    ],
    [
      'refuses a form',
      post('shape=round', {
        ...allowed,
        'content-type': 'application/x-www-form-urlencoded',
      }),
    ],
    ['reads no text', post('title', { ...allowed, 'content-type': 'text/plain' })],
    ['finds', get(`${prefix}/notes/1`)],
    ['does not find', get(`${prefix}/notes/77`)],
    ['refuses an id', get(`${prefix}/notes/one`)],
    ['refuses bad percent-encoding', get(`${prefix}/notes/%FF`)],
    ['reads an extended query', get(`${prefix}/notes?filter[colour]=red&list[]=1&list[]=2`)],
    ['refuses a method', { method: 'DELETE', path: `${prefix}/notes`, headers: allowed }],
    ['has a neighbour', get('/_matrix/client/v3/room_keys_of_mine/version')],
    ['has another neighbour', get('/_matrix/client/v3/sync')],
    ['knows no key backup below its prefix', get(`${prefix}/_matrix/client/v3/room_keys/version`)],
  ];
}
