/** Bodies for fuzzing: valid ones of odd content, and what becomes of them when bytes are changed. */
import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { ALGORITHM } from './model.js';

/** The largest body that the servers under fuzzing take: small, so that larger ones are cheap to send. */
export const MAX_BODY_BYTES = 256 * 1024;

/** Bytes as text, a character each, since JSON can hold them so: inputs that failed are kept as JSON. */
export type Bytes = string;

export const utf8 = (text: string): Bytes => Buffer.from(text).toString('latin1');

/** A change of bytes at a place, counted round and round. */
export interface Edit {
  at: number;
  removed: number;
  inserted: Bytes;
}

export function edited(bytes: Bytes, edits: readonly Edit[]): Bytes {
  return edits.reduce((text, { at, removed, inserted }) => {
    const place = at % (text.length + 1);
    return text.slice(0, place) + inserted + text.slice(place + removed);
  }, bytes);
}

export const editsOf = (pieces: readonly Bytes[], most: number) =>
  fc.array(
    fc.record({
      at: fc.nat(),
      removed: fc.oneof(fc.constantFrom(0, 0, 1, 1, 2, 4), fc.nat(80)),
      inserted: fc.oneof(
        fc.constantFrom('', ...pieces),
        fc.nat(255).map((byte) => String.fromCharCode(byte)),
      ),
    }),
    { minLength: 1, maxLength: most },
  );

/** What JSON, UTF-8 and JavaScript are sensitive to. */
export const JSON_PIECES = [
  ...['"', '\\', '{', '}', '[', ']', ',', ':', '\0', '\n', '\x0b', '\x7f', '\u00a0'],
  ...['\xff', '\xc0\xaf', '\xed\xa0\x80', '\xf4\x90\x80\x80', '\xef\xbb\xbf', '\xe2\x80\xa8'],
  ...['\\ud800', '\\udc00', '\\u0000', '\\u00', '\\x41', "'", '//x', '/**/', ',,', ',}', ',]'],
  ...['1e999', '-0', '-', '.5', '5.', '01', 'NaN', 'null', 'true', 'undefined', '""', '{}', '[]'],
  ...['"__proto__":{},', '"a":1,"a":2,', '"rooms":{},', '"session_data":{},', '"is_verified":1,'],
  ...['[[[[[[[[', '{"a":{"a":{"a":', '}}}}}}', '}}}}garbage', '\r\n\r\n', '{"rooms":{}}'],
];
export const jsonEdits = editsOf(JSON_PIECES, 3);

/** Ids that code, storage, JSON or HTTP could take for something else. */
export const ODD_IDS = [
  ...['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'prototype', 'length', 'then'],
  ...['rooms', 'sessions', 'version', 'keys', '', ' ', '.', '..', '/', 'a/b', '%2F', '%', '?', '#'],
  ...['a\0b', '\0', '\ud800', 'a\udfff', '\ufeff', '\ufffd', '\u202e', 'é', 'e\u0301', '😀', '0'],
  ...["' OR '1'='1", "'; DROP TABLE keys; --", '" OR ""="', '\\', "\\'", '%s', '${x}', '{{x}}'],
  ...['x'.repeat(255), 'x'.repeat(256), 'é'.repeat(127), 'é'.repeat(128), '😀'.repeat(64)],
  ...['!room:hs1', 'session', 'null', 'undefined', 'true', '-1', '1e3', '<script>', '\r\nX: y'],
];
export const oddId = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('!room:hs1', 'session') },
  { weight: 6, arbitrary: fc.constantFrom(...ODD_IDS) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 8 }) },
);

const number = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('0', '1', '2') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      ...['-0', '-0.0', '0e0', '1.0', '1e0', '1E+2', '10e-1', '9007199254740990'],
      ...['9007199254740991', '9007199254740991.0', '9007199254740992', '9007199254740993'],
      ...['0.1', '1e999', '-1e999', '1e-999', '-1', '12345678901234567890', '4294967296'],
      ...['NaN', 'Infinity', '01', '+1', '0x1', '1_0', '"1"', 'null', 'true', '[0]', '{}'],
    ),
  },
);

const deep = (depth: number) => `{"a":${'['.repeat(depth)}${']'.repeat(depth)}}`;

const opaque = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.constantFrom(
      '{}',
      '{"ephemeral":"e","ciphertext":"c","mac":"m"}',
      '{"__proto__":{"x":1},"constructor":{"prototype":null},"toString":0}',
      '{"n":12345678901234567890,"huge":1e999,"small":-1E-400,"minus":-0,"long":0.1000000000000000055}',
      '{"a":1,"a":2,"":[[],{},[null,true,false]]}',
      '{"s":"\\ud800 \\udc00\\ud800 \\u0000 \\/ 😀 \u2028"}',
      ' {\n\t"x" : [ 1 , "}" ]\r\n} ',
      `{"sql":"'; DROP TABLE keys; -- \\\\' \\" %s ?"}`,
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...['null', '"x"', '[]', '1', '[{}]', 'true', '{"a":}', '{a:1}']),
  },
  { weight: 1, arbitrary: fc.constantFrom(900, 990, 992, 994, 996, 998, 1000, 20_000).map(deep) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(1000, 65_536, 200_000, MAX_BODY_BYTES)
      .map((length) => `{"x":"${'x'.repeat(length)}"}`),
  },
  { weight: 1, arbitrary: fc.constant(`{"x":"${'é😀'.repeat(10_000)}"}`) },
  {
    weight: 2,
    arbitrary: fc.dictionary(fc.string(), fc.jsonValue()).map((v) => JSON.stringify(v)),
  },
);

const boolean = fc.constantFrom(...['true', 'false', 'true', 'false', 'true', 'false', '1', '"x"']);

const key = fc
  .record({
    first_message_index: number,
    forwarded_count: number,
    is_verified: boolean,
    session_data: opaque,
  })
  .map((fields) => objectOf(Object.entries(fields)));

const objectOf = (members: readonly (readonly [name: string, text: string])[]) =>
  `{${members.map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(',')}}`;

const map = (values: fc.Arbitrary<string>) =>
  fc
    .oneof(
      {
        weight: 5,
        arbitrary: fc.uniqueArray(fc.tuple(oddId, values), {
          maxLength: 4,
          selector: ([id]) => id,
        }),
      },
      { weight: 1, arbitrary: fc.array(fc.tuple(oddId, values), { maxLength: 4 }) },
    )
    .map(objectOf);

const oneRoom = map(key).map((sessions) => objectOf([['sessions', sessions]]));
const allRooms = map(oneRoom).map((rooms) => objectOf([['rooms', rooms]]));
const information = fc
  .record({
    algorithm: fc.oneof(
      { weight: 6, arbitrary: fc.constant(JSON.stringify(ALGORITHM)) },
      {
        weight: 1,
        arbitrary: fc.constantFrom(
          '"m.other"',
          '""',
          'null',
          '"\\ud800"',
          '[]',
          `"${'a'.repeat(300)}"`,
        ),
      },
    ),
    auth_data: opaque,
    version: fc.constantFrom(...['', '', '', '"2"', '"1"', '2', 'null', '""', '"__proto__"']),
  })
  .map(({ version, ...fields }) =>
    objectOf([...Object.entries(fields), ...(version ? [['version', version] as const] : [])]),
  );

const shapes = { information, allRooms, oneRoom, key };
export type Shape = keyof typeof shapes;
export const SHAPE_NAMES = Object.keys(shapes) as Shape[];

/** A body with nothing changed: valid, but for what its content may be. */
export const rightBody = fc.oneof(...Object.values(shapes)).map(utf8);

/** The bytes of a body: mostly of the shape that is wanted, and often changed. */
export const bodyOf = (shape: Shape): fc.Arbitrary<Bytes> => {
  const right = shapes[shape].map(utf8);
  const changed = fc.tuple(right, jsonEdits).map(([bytes, edits]) => edited(bytes, edits));
  return fc.oneof(
    { weight: 5, arbitrary: right },
    { weight: 5, arbitrary: changed },
    { weight: 2, arbitrary: fc.tuple(right, fc.nat()).map(([b, at]) => b.slice(0, at % b.length)) },
    { weight: 1, arbitrary: right.map((bytes) => `\xef\xbb\xbf${bytes}`) },
    { weight: 1, arbitrary: right.map((b) => Buffer.from(b, 'utf16le').toString('latin1')) },
    { weight: 1, arbitrary: fc.oneof(...Object.values(shapes)).map(utf8) },
    { weight: 1, arbitrary: fc.json().map(utf8) },
    {
      weight: 1,
      arbitrary: fc.uint8Array({ maxLength: 40 }).map((b) => Buffer.from(b).toString('latin1')),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        ...['', ' ', '\0', '{', '{}', '{}{}', '[]', 'null', '"', '0', '\xef\xbb\xbf', "{'a':1}"],
        '['.repeat(100_000),
        '{"a":'.repeat(20_000),
        ' '.repeat(MAX_BODY_BYTES + 1),
        `{"rooms":{}}${' '.repeat(MAX_BODY_BYTES - 12)}`,
        '{},'.repeat(60_000),
      ),
    },
  );
};

const asItIs = (bytes: Buffer) => bytes;
const brotli = (bytes: Buffer) =>
  brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } });
const COMPRESSIONS = new Map<string, (bytes: Buffer) => Buffer>([
  ['gzip', gzipSync],
  ['deflate', deflateSync],
  ['br', brotli],
  ['x-gzip', gzipSync],
  ['GZIP', gzipSync],
  ['deflate ', deflateRawSync],
  ['gzip, br', gzipSync],
  ['gzip,gzip', (bytes) => gzipSync(gzipSync(bytes))],
  ...['identity', '__proto__', 'constructor', 'compress', ''].map(
    (name) => [name, asItIs] as const,
  ),
]);

const compress = (bytes: Buffer, encoding: string): Bytes =>
  (COMPRESSIONS.get(encoding) ?? asItIs)(bytes).toString('latin1');

/** A few kilobytes each that become megabytes. */
const bombs = ['gzip', 'deflate', 'br'].map((encoding) => ({
  bytes: compress(Buffer.alloc(16 * 1024 * 1024, ' '), encoding),
  encoding,
}));

/** A body as it is sent: compressed or not, rightly or not, with what its header says of it. */
export const compressed = (body: fc.Arbitrary<Bytes>) =>
  fc.oneof(
    { weight: 12, arbitrary: body.map((bytes) => ({ bytes, encoding: undefined })) },
    {
      weight: 2,
      arbitrary: fc
        .tuple(body, fc.constantFrom(...COMPRESSIONS.keys()))
        .map(([bytes, encoding]) => ({
          bytes: compress(Buffer.from(bytes, 'latin1'), encoding),
          encoding,
        })),
    },
    {
      weight: 1,
      arbitrary: fc
        .tuple(body, fc.constantFrom('gzip', 'deflate', 'br'), editsOf(['\0\0'], 2))
        .map(([bytes, encoding, edits]) => ({
          bytes: edited(compress(Buffer.from(bytes, 'latin1'), encoding), edits),
          encoding,
        })),
    },
    { weight: 1, arbitrary: fc.constantFrom(...bombs) },
  );
