/**
 * What hostile clients could send: requests for each of the operations of which something is wrong, or
 * odd, as plain data, so that one that fails can be pasted into fuzz.regressions.ts.
 */
import fc from 'fast-check';
import {
  bodyOf,
  type Bytes,
  compressed,
  type Edit,
  edited,
  editsOf,
  ODD_IDS,
  type Shape,
} from './fuzz.bodies.js';

/** A request, on a connection of its own. `@token` in it stands for the sender's token. */
export interface Input {
  method: string;
  /** As it stands in the request line. */
  target: string;
  http: string;
  /** All but those of the framing. */
  headers: (readonly [name: string, value: string])[];
  /** The bytes of the body, as they are sent. */
  body?: Bytes | undefined;
  framing: Framing;
  /** What becomes of all of it, head and body. */
  edits: Edit[];
  /** Where the connection is cut, in thousandths of the bytes. */
  cut?: { at: number; how: 'half closed' | 'reset' } | undefined;
  /** In how many pieces it is sent. */
  pieces: number;
  /** How often it is sent, one right after the other, where it only reads. */
  times: number;
}

/** How the request says where its body ends: by its length, in chunks, or in a way that is wrong. */
export type Framing = 'length' | 'chunks' | 'none' | OwnFraming;

interface OwnFraming {
  lines: string[];
  bytes: Bytes;
  /** Two readers could not agree where the request ends. */
  isWrong?: boolean;
}

const TOKEN = '@token';

// --- where to ---------------------------------------------------------------------------------

const percent = (id: string) => {
  const bytes = [...Buffer.from(id)];
  return bytes.map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
};
const escaped = (id: string) => (id.isWellFormed() ? encodeURIComponent(id) : percent(id));

const BAD_SEGMENTS = [
  ...['%', '%zz', '%FF', '%C0%AF', '%ed%a0%80', '%E9', 'a%', '%u0041', '%25', '%2e%2e', '%00'],
  ...['..', '.', '', '*', ':version', '{roomId}', '(x)', ';a=b', 'a\\b', '~', '%0d%0aX:%20y'],
];
const segment = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('!room%3Ahs1', 'session') },
  { weight: 4, arbitrary: fc.constantFrom(...ODD_IDS).map(escaped) },
  { weight: 1, arbitrary: fc.constantFrom(...ODD_IDS).map(percent) },
  { weight: 1, arbitrary: fc.constantFrom(...BAD_SEGMENTS) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 6 }).map(escaped) },
);
const NO_VERSIONS = [
  ...['0', '02', '+2', '%202', '2%20', '2.0', '2e0', '-2', '0x2', '9'.repeat(40), 'current'],
  ...['__proto__', 'constructor', "2'%20OR%20'1'='1", '2%00', '%D9%A2', '%EF%BC%92', '%ff', '2;1'],
  ...[
    '18446744073709551618',
    '9007199254740993',
    'NaN',
    '1e999',
    '2%0a',
    '%5B2%5D',
    'x'.repeat(300),
  ],
];
const version = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom('1', '2', '2', '2') },
  { weight: 1, arbitrary: fc.constantFrom('3', '4', ...NO_VERSIONS) },
);

const QUERY_ODDITIES = [
  ...['version[]=2', 'version[0]=2', 'version.x=2', 'VERSION=1', '__proto__=1', '__proto__[x]=1'],
  ...['constructor[prototype][x]=1', 'hasOwnProperty=1', 'a=b=c', '=', '&', '%', '%zz=%', '?', 'a'],
  ...['version', 'version=', 'version=1', 'version=2', 'version=%32', '%76ersion=1', 'version=2;x'],
  ...['access_token=', `access_token=${TOKEN}`, 'access_token=nobody', 'access_token=%E2%82%AC'],
  ...['access_token=%00', 'access_token=a%0d%0aX:%20y', 'access_token[]=x', 'x='.padEnd(4000, 'y')],
];
const oddities = fc.oneof(
  { weight: 6, arbitrary: fc.constant<string[]>([]) },
  { weight: 2, arbitrary: fc.array(fc.constantFrom(...QUERY_ODDITIES), { maxLength: 3 }) },
);

/** Before and after what a path is meant to be. */
const PATH_ODDITIES: ((path: string) => string)[] = [
  (path) => `${path}/`,
  (path) => `/${path}`,
  (path) => path.replaceAll('/', '//'),
  (path) => `${path}/..`,
  (path) => `/x/..${path}`,
  (path) => `/.${path}`,
  (path) => path.toUpperCase(),
  (path) => path.replace('room_keys', 'Room_Keys'),
  (path) => path.replace('room_keys', 'room%5Fkeys'),
  (path) => path.replaceAll('/', '%2F'),
  (path) => path.replaceAll('/', '\\'),
  (path) => path.replace('_matrix', '_matri%78'),
  (path) => `http://elsewhere${path}`,
  (path) => `${path}#version`,
  (path) => `${path};x=y`,
  (path) => `${path}%00`,
  (path) => `${path}%`,
  (path) => `${path}\u00e9`,
  (path) => `${path} x`,
  (path) => `${path}/${'x'.repeat(5_000)}`,
  (path) => `${path}/${'x'.repeat(100_000)}`,
  (path) => path + '/x'.repeat(3_000),
  (path) => path + '%2F'.repeat(3_000),
  (path) => path.replace('v3', 'v1'),
  (path) => path.replace('/client', ''),
  () => '*',
  () => '/_matrix',
  () => '/__proto__',
];
const pathOddity = fc.oneof(
  { weight: 14, arbitrary: fc.constant((path: string) => path) },
  { weight: 1, arbitrary: fc.constantFrom(...PATH_ODDITIES) },
);

interface Operation {
  method: string;
  path: string[];
  /** Undefined where the operation has none. */
  version?: string;
  shape?: Shape;
}

const on = (
  method: string,
  path: readonly (string | fc.Arbitrary<string>)[],
  shape?: Shape,
): fc.Arbitrary<Operation> =>
  fc
    .tuple(version, ...path.map((one) => (typeof one === 'string' ? fc.constant(one) : one)))
    .map(([inQuery, ...segments]) => ({
      method,
      path: segments,
      ...(path[0] === 'keys' && { version: inQuery }),
      ...(shape && { shape }),
    }));

/** The 14 operations; those that take a body more often. */
const operation = fc.oneof(
  { weight: 4, arbitrary: on('POST', ['version'], 'information') },
  { weight: 1, arbitrary: on('GET', ['version']) },
  { weight: 1, arbitrary: on('GET', ['version', version]) },
  { weight: 4, arbitrary: on('PUT', ['version', version], 'information') },
  { weight: 1, arbitrary: on('DELETE', ['version', version]) },
  { weight: 12, arbitrary: on('PUT', ['keys'], 'allRooms') },
  { weight: 8, arbitrary: on('PUT', ['keys', segment], 'oneRoom') },
  { weight: 8, arbitrary: on('PUT', ['keys', segment, segment], 'key') },
  { weight: 1, arbitrary: on('GET', ['keys']) },
  { weight: 2, arbitrary: on('GET', ['keys', segment]) },
  { weight: 2, arbitrary: on('GET', ['keys', segment, segment]) },
  { weight: 1, arbitrary: on('DELETE', ['keys']) },
  { weight: 2, arbitrary: on('DELETE', ['keys', segment]) },
  { weight: 2, arbitrary: on('DELETE', ['keys', segment, segment]) },
);

const METHODS = [
  ...['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'TRACE', 'CONNECT', 'PROPFIND'],
  ...['put', 'Put', 'FOO', '__proto__', 'PUT\t', 'G\u00c9T', ''],
];

// --- head -------------------------------------------------------------------------------------

const RIGHT_TOKEN: Input['headers'] = [['Authorization', `Bearer ${TOKEN}`]];
const WRONG_TOKENS: Input['headers'][] = [
  [],
  [['Authorization', `Bearer ${TOKEN}x`]],
  [['Authorization', `Bearer ${TOKEN.toUpperCase()}`]],
  [['Authorization', `Bearer ${TOKEN} x`]],
  [['Authorization', `Bearer "${TOKEN}"`]],
  [['Authorization', `Bearer\t${TOKEN}`]],
  [['Authorization', `Bearer ${TOKEN},${TOKEN}`]],
  [['Authorization', `Bearer \u00e9${TOKEN}`]],
  [['Authorization', `Bearer ${TOKEN}\0`]],
  [['Authorization', `Basic ${TOKEN}`]],
  [['Authorization', TOKEN]],
  [['Authorization', 'Bearer']],
  [['Authorization', 'Bearer __proto__']],
  [['Authorization', `Bearer ${'x'.repeat(8_000)}`]],
  [['Authorization', `Bearer ${'x'.repeat(20_000)}`]],
  [['Authorization', 'Bearer nobody'], ...RIGHT_TOKEN],
  [['Authorization', 'Basic eDp5'], ...RIGHT_TOKEN],
];
const ODD_TOKENS: Input['headers'][] = [
  [['Authorization', `bearer ${TOKEN}`]],
  [['AUTHORIZATION', `BEARER   ${TOKEN}  `]],
  [...RIGHT_TOKEN, ['Authorization', 'Bearer nobody']],
  [...RIGHT_TOKEN, ...RIGHT_TOKEN],
];
const authorization = fc.oneof(
  { weight: 14, arbitrary: fc.constant(RIGHT_TOKEN) },
  { weight: 1, arbitrary: fc.constantFrom(...ODD_TOKENS) },
  { weight: 2, arbitrary: fc.constantFrom(...WRONG_TOKENS) },
);

const ODD_HEADERS: Input['headers'] = [
  ['Content-Type', 'application/json; charset=utf-16'],
  ['Content-Type', 'multipart/form-data; boundary=x'],
  ['Content-Type', 'application/x-www-form-urlencoded'],
  ['Content-Type', ''],
  ['Content-Type', '\u00ff/\u00ff'],
  ['Content-Type', `text/plain; x=${'y'.repeat(5_000)}`],
  ['Accept', 'text/html'],
  ['Accept-Encoding', 'gzip;q=NaN, br;q=-1, *'],
  ['X-HTTP-Method-Override', 'DELETE'],
  ['X-Method-Override', 'DELETE'],
  ['X-Original-URL', '/_matrix/client/v3/room_keys/version'],
  ['X-Rewrite-URL', '/'],
  ['X-Forwarded-For', "127.0.0.1, ' OR 1=1"],
  ['X-Forwarded-Host', 'elsewhere'],
  ['X-Request-Id', '${jndi:ldap://x}'],
  ['X-Request-Id', 'x'.repeat(4_000)],
  ['Cookie', '__proto__=x; access_token=y'],
  ['Origin', 'null'],
  ['Host', 'elsewhere:99999'],
  ['Host', ''],
  ['Host', '@[::1'],
  ['If-None-Match', '*'],
  ['If-Match', '"x"'],
  ['If-Modified-Since', 'Thu, 01 Jan 2099 00:00:00 GMT'],
  ['Range', 'bytes=0-0'],
  ['Expect', '100-continue'],
  ['Expect', 'the unexpected'],
  ['Connection', 'close'],
  ['Connection', 'Authorization'],
  ['Keep-Alive', 'timeout=999999'],
  ['Upgrade', 'h2c'],
  ['TE', 'trailers'],
  ['Trailer', 'Authorization'],
  ['__proto__', 'x'],
  ['constructor', 'x'],
  ['toString', 'x'],
  ['X Y', 'a space in a name'],
  ['X\u00e9', 'no ASCII in a name'],
  ['X', 'a\0b'],
  ['X', 'a\rb'],
  ['X', 'a\r\n folded'],
  ['X', 'y'.repeat(20_000)],
  ['X', 'y'.repeat(200_000)],
];
const manyHeaders = Array.from({ length: 1_500 }, (_, n) => [`x${n}`, ''] as const);
const headers = fc.oneof(
  { weight: 10, arbitrary: fc.constant<Input['headers']>([]) },
  {
    weight: 6,
    arbitrary: fc.array(fc.constantFrom(...ODD_HEADERS), { minLength: 1, maxLength: 2 }),
  },
  { weight: 1, arbitrary: fc.constant<Input['headers']>(manyHeaders) },
);
const http = fc.oneof(
  { weight: 30, arbitrary: fc.constant('HTTP/1.1') },
  { weight: 2, arbitrary: fc.constant('HTTP/1.0') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...['HTTP/0.9', 'HTTP/2.0', 'HTTP/1.2', 'HTTP/9.9', 'http/1.1', '']),
  },
);

// --- the framing of the body ------------------------------------------------------------------

const chunk = (bytes: Bytes, size = bytes.length.toString(16)) => `${size}\r\n${bytes}\r\n`;
const LAST = '0\r\n\r\n';

/** Each of them is to be refused: as smuggled requests show, another reader could see another end. */
const wrongFramings = (body: Bytes): OwnFraming[] => {
  const { length } = body;
  const hidden = `GET /_matrix/client/v3/room_keys/version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`;
  const chunked = ['Transfer-Encoding: chunked'];
  const one = (line: string, bytes = body) => ({ lines: [line], bytes });
  return [
    ...['-1', '+5', '5,5', '5 5', '0x5', 'five', '', '5.0', '1e3', '9'.repeat(30)].map((text) =>
      one(`Content-Length: ${text}`),
    ),
    { lines: [`Content-Length: ${length}`, `Content-Length: ${length + 1}`], bytes: body },
    { lines: [`Content-Length: ${length}`, 'Content-Length: 0'], bytes: body + hidden },
    { lines: ['Content-Length: 4', ...chunked], bytes: chunk(body) + LAST + hidden },
    { lines: [...chunked, `Content-Length: ${length}`], bytes: chunk(body) + LAST },
    { lines: [...chunked, 'Transfer-Encoding: identity'], bytes: chunk(body) + LAST },
    ...['xchunked', 'chunked, gzip', '\x0bchunked', 'chunked;q=1', 'identity', 'chunke'].map(
      (text) => one(`Transfer-Encoding: ${text}`, chunk(body) + LAST + hidden),
    ),
    ...['zz', '-1', '+5', '0x5', ' 5', '5 5', 'f'.repeat(16), '1'.repeat(40), ''].map((size) => ({
      lines: chunked,
      bytes: chunk(body, size) + LAST,
    })),
    { lines: chunked, bytes: chunk(body).slice(0, -2) + LAST },
    { lines: chunked, bytes: chunk(`${body}more`, length.toString(16)) + LAST },
    { lines: chunked, bytes: `${length.toString(16)}\n${body}\n${LAST}` },
    { lines: chunked, bytes: chunk(body, `${length.toString(16)};${'x'.repeat(20_000)}`) + LAST },
    { lines: chunked, bytes: `${chunk(body)}0\r\nA B: c\r\n\r\n` },
    { lines: chunked, bytes: `${chunk(body)}0\r\nX: ${'y'.repeat(20_000)}\r\n\r\n` },
  ];
};

/** Where all can agree, though what follows, or never comes, is no request. */
const oddFramings = (body: Bytes): OwnFraming[] => {
  const { length } = body;
  const chunked = ['Transfer-Encoding: chunked'];
  return [
    { lines: [`Content-Length: ${Math.max(0, length - 1)}`], bytes: body },
    { lines: ['Content-Length: 0'], bytes: body },
    { lines: [`Content-Length: ${length + 10}`], bytes: body },
    { lines: ['Content-Length: 4294967296'], bytes: body },
    { lines: [`Content-Length: 000${length}`], bytes: body },
    { lines: ['Transfer-Encoding: gzip, chunked'], bytes: chunk(body) + LAST },
    { lines: ['transfer-encoding: CHUNKED'], bytes: chunk(body) + LAST },
    { lines: chunked, bytes: `${chunk(body, `${length.toString(16)};x="y"`)}0\r\nX: y\r\n\r\n` },
    { lines: chunked, bytes: chunk(body) },
    { lines: chunked, bytes: `${chunk(body)}${LAST}and more` },
    { lines: [`Content-Length: ${length}`], bytes: `${body}and more` },
  ];
};

const framing = (body: Bytes): fc.Arbitrary<Framing> =>
  fc.oneof(
    { weight: 10, arbitrary: fc.constant('length' as const) },
    { weight: 4, arbitrary: fc.constant('chunks' as const) },
    {
      weight: 1,
      arbitrary: fc.nat().map((n) => ({ ...pick(wrongFramings(body), n), isWrong: true })),
    },
    { weight: 1, arbitrary: fc.nat().map((n) => pick(oddFramings(body), n)) },
  );

const pick = <T>(choices: readonly T[], n: number): T => choices[n % choices.length]!;

// --- all together -----------------------------------------------------------------------------

const HEAD_PIECES = [
  ...['\r\n', '\n', '\r', '\r\n\r\n', ' ', '\t', ':', '\0', '\x7f', '\u00ff', '%', '?', '/', '#'],
  ...[
    'HTTP/1.1',
    'HTTP/2.0',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    '\x16\x03\x01\x02\0\x01',
    '\r\n ',
  ],
  ...['Content-Length: 3\r\n', 'Transfer-Encoding: chunked\r\n', 'Host: y\r\n', 'Expect: x\r\n'],
  'GET /_matrix/client/v3/room_keys/version HTTP/1.1\r\nHost: x\r\n\r\n',
];

const none = { weight: 12, arbitrary: fc.constant(undefined) };

const input: fc.Arbitrary<Input> = fc
  .record({
    operation,
    method: fc.oneof(none, { weight: 1, arbitrary: fc.constantFrom(...METHODS) }),
    prefix: fc.constantFrom(...['v3', 'v3', 'v3', 'r0', 'unstable']),
    pathOddity,
    oddities,
    withVersion: fc.constantFrom(...Array<boolean>(12).fill(true), false),
    authorization,
    headers,
    http,
    edits: fc.oneof(none, { weight: 2, arbitrary: editsOf(HEAD_PIECES, 3) }),
    cut: fc.oneof(none, {
      weight: 1,
      arbitrary: fc.record({
        at: fc.nat(999),
        how: fc.constantFrom('half closed' as const, 'reset' as const),
      }),
    }),
    pieces: fc.constantFrom(1, 1, 1, 1, 2, 5),
    times: fc.constantFrom(1, 1, 1, 2, 5),
  })
  .chain(({ operation: what, ...parts }) => {
    // a body where none belongs is sent now and then
    const body = what.shape
      ? compressed(bodyOf(what.shape))
      : fc.oneof(none, { weight: 1, arbitrary: compressed(bodyOf('allRooms')) });
    return body.chain((sent) =>
      (sent ? framing(sent.bytes) : fc.constant('none' as const)).map((how): Input => {
        const path = `/_matrix/client/${parts.prefix}/room_keys/${what.path.join('/')}`;
        const given = what.version !== undefined && parts.withVersion;
        const query = [...(given ? [`version=${what.version}`] : []), ...parts.oddities].join('&');
        const target = parts.pathOddity(path);
        return {
          method: parts.method ?? what.method,
          target: query ? `${target}?${query}` : target,
          http: parts.http,
          headers: [
            ...parts.authorization,
            ...(sent?.encoding === undefined ? [] : [['Content-Encoding', sent.encoding] as const]),
            ...parts.headers,
          ],
          body: sent?.bytes,
          framing: how,
          edits: parts.edits ?? [],
          cut: parts.cut,
          pieces: parts.pieces,
          times: parts.times,
        };
      }),
    );
  });

/** @param most how many inputs one user sends */
export const inputs = (most: number): fc.Arbitrary<Input[]> =>
  fc.array(input, { minLength: 1, maxLength: most, size: 'max' });

/** The input with the token in it. */
export function withToken(one: Input, token: string): Input {
  const put = (text: string) =>
    text.replaceAll(TOKEN, token).replaceAll(TOKEN.toUpperCase(), token.toUpperCase());
  return {
    ...one,
    target: put(one.target),
    headers: one.headers.map(([name, value]) => [name, put(value)] as const),
    framing:
      typeof one.framing === 'string'
        ? one.framing
        : { ...one.framing, bytes: put(one.framing.bytes) },
  };
}

/** Where the head ends, and all that is sent unless it is cut. */
export function bytesOf(one: Input): { head: number; bytes: Buffer } {
  const { lines, bytes } = framed(one);
  const all = [
    `${one.method} ${one.target} ${one.http}`,
    ...(one.headers.some(([name]) => name === 'Host') ? [] : ['Host: x']),
    ...one.headers.map(([name, value]) => `${name}: ${value}`),
    ...lines,
  ];
  const head = `${all.join('\r\n')}\r\n\r\n`;
  return { head: head.length, bytes: Buffer.from(edited(head + bytes, one.edits), 'latin1') };
}

function framed({ framing: how, body }: Input): { lines: string[]; bytes: Bytes } {
  if (typeof how === 'object') return how;
  if (how === 'none' || body === undefined) return { lines: [], bytes: '' };
  if (how === 'length') return { lines: [`Content-Length: ${body.length}`], bytes: body };
  const third = Math.ceil(body.length / 3) || 1;
  const pieces = [0, 1, 2].map((n) => body.slice(n * third, (n + 1) * third));
  const chunks = pieces.filter((piece) => piece !== '').map((piece) => chunk(piece));
  return { lines: ['Transfer-Encoding: chunked'], bytes: chunks.join('') + LAST };
}
