import fc from 'fast-check';
import { ALGORITHM, OTHER_ALGORITHM, type NoUser } from './model.js';

/**
 * What the model is tried with: sequences of requests as plain data, so that one that fails can be
 * pasted into model.regressions.ts and stays what it was. Few users, versions and ids, so that the
 * requests of a sequence meet.
 */
export interface Sequence {
  /** Ids that this sequence is about: steps name them by their place. */
  rooms: string[];
  sessions: string[];
  /** How many backups each user has at first. */
  backups: number[];
  steps: Step[];
}

export interface Step {
  /** The place of a user, or what is wrong with the token. */
  user: number | NoUser;
  device?: string | undefined;
  token: 'header' | 'query';
  prefix: 'v3' | 'r0' | 'unstable';
  method: string;
  /** Segments below `/room_keys`. */
  path: (string | Segment)[];
  /** Values of the query parameter `version`. */
  versions: VersionName[];
  body?: Body;
}

/** A version by what it is when its turn comes: the newest backup, the one before it, one that is yet to be; or as text. */
export type VersionName = 'current' | 'the one before' | 'next' | { text: string };

/** A segment of a path that stands for something. */
export type Segment =
  | { version: VersionName }
  | { room: number | string; encoded: Encoding }
  | { session: number | string; encoded: Encoding };

export type Encoding = 'where needed' | 'every byte' | 'small letters';

/** A body as text, with `@r0`, `@s1` where the ids of that place belong, and `@v` for the current version. */
export type Body = string;

/** Ids that storage, JSON or HTTP could take for one another. */
const FAMILIES = [
  ['order-1', 'Order-1', 'order-1 '],
  ['café', 'cafe\u0301', 'cafe'],
  ['__proto__', 'constructor', 'hasOwnProperty'],
  ['a/b', 'a%2Fb', 'a'],
  ['a+b', 'a b', 'a%20b'],
  ['x'.repeat(255), `${'x'.repeat(254)}y`, 'é'.repeat(127)],
  ['ab', 'abc', 'a'],
  ['b', 'c', 'bc'],
  ['1', '01', '0'],
  ['a\0b', 'a\0c', '\0'],
  ['😀', '😁', '\ufffd'],
  ['straße', 'strasse', 'STRASSE'],
  ['"', '\\', '\\"'],
  ['..', '.', '...'],
  ['a?b', 'a#b', 'a&version=2'],
  ['!NhgaRTDyfsYCcfagxc:hs1', '!Ba7QqFf4zaWi2IwpfRUlgcpW-d63Lewo6KYXDYxf8rk', '@r0'],
  ['EYB5f3U1cbOvLQB3RxwPTlKE/b6UyDUw74doOEGUrmA', 'EYB5f3U1cbOvLQB3RxwPTlKE', 'E'],
];
const WRONG_IDS = ['x'.repeat(256), 'é'.repeat(128), '😀'.repeat(64)];
const WRONG_SEGMENTS = ['%', '%zz', '%FF', '%C0%AF', '%ed%a0%80', 'a%', '%E9'];
const NO_VERSIONS = [
  '0',
  '01',
  '+1',
  ' 1',
  '1 ',
  '1.0',
  '1e0',
  '-1',
  '0x1',
  '9'.repeat(40),
  '9007199254740993',
  '18446744073709551617',
  'current',
  '١',
  '１',
  '__proto__',
  "1' OR '1'='1",
  '1\0',
];

/** Values of `session_data` and `auth_data`; `@n` becomes a number, to tell two of them apart. */
const OPAQUE = [
  '{"n":@n}',
  '{"n":@n,"ephemeral":"e","ciphertext":"c","mac":"m"}',
  '{}',
  '{"n":@n,"__proto__":{"x":1},"constructor":null}',
  '{"n":@n,"big":12345678901234567890,"huge":1e999,"small":-1E-400,"minus":-0,"long":0.1000000000000000055,"zero":1.00}',
  '{"n":@n,"é":"😀\\u0000\\ud800","\\u00e9":"\\"\\\\\\/\\b\\f\\n\\r\\t\u2028"}',
  '{"n":@n,"a":1,"a":2,"":[[],{},[null,true,false]]}',
  ' {\n\t"n" : @n , "x" : [ 1 , "}" ]\r\n} ',
];

const whole = fc.oneof(
  { weight: 8, arbitrary: fc.nat({ max: 2 }).map(String) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('9007199254740991', '9007199254740990', '4294967296', '1e1', '1.0'),
  },
);
const opaque = fc
  .tuple(fc.constantFrom(...OPAQUE), fc.nat({ max: 999 }))
  .map(([text, n]) => text.replace('@n', String(n)));

const key = fc
  .tuple(whole, whole, fc.boolean(), opaque, fc.nat({ max: 9 }))
  .map(([index, forwarded, verified, data, order]) => {
    const members = [
      `"first_message_index":${index}`,
      `"forwarded_count":${forwarded}`,
      `"is_verified":${verified}`,
      `"session_data":${data}`,
    ];
    if (order === 0) members.reverse().push('"unknown":{"first_message_index":-1}');
    return `{${members.join(',')}}`;
  });

const NOT_WHOLE = ['-1', '0.5', '9007199254740992', '1e999', '"0"', 'null', 'true', '[]', '{}'];
const wrongKey = fc.oneof(
  fc
    .constantFrom(
      ...['first_message_index', 'forwarded_count'].flatMap((name) =>
        NOT_WHOLE.map((value) => [name, value] as const),
      ),
      ...['0', '1', '"true"', 'null'].map((value) => ['is_verified', value] as const),
      ...['null', '"x"', '[]', '1'].map((value) => ['session_data', value] as const),
    )
    .map(([name, value]) => {
      const right = {
        first_message_index: '0',
        forwarded_count: '0',
        is_verified: 'true',
        session_data: '{}',
      };
      const members = Object.entries({ ...right, [name]: value });
      return `{${members.map(([member, text]) => `"${member}":${text}`).join(',')}}`;
    }),
  fc.constantFrom(
    'null',
    '[]',
    '1',
    '{}',
    '{"first_message_index":0,"forwarded_count":0,"is_verified":true}',
    '{"first_message_index":0,"forwarded_count":0,"session_data":{}}',
    '{"first_message_index":0,"first_message_index":0,"forwarded_count":0,"is_verified":true,"session_data":{}}',
    '{"first_message_index":0,"forwarded_count":0,"is_verified":true,"session_data":{},"x":1,"\\u0078":2}',
  ),
);
const anyKey = fc.oneof({ weight: 100, arbitrary: key }, { weight: 1, arbitrary: wrongKey });

/** The first ones more often: what matters happens where requests meet. */
const place = fc.constantFrom(0, 0, 0, 1, 1, 2);
const wrongName = fc.constantFrom(...WRONG_IDS, '', '\\ud800').map((id) => `"${id}"`);
const name = (kind: 'r' | 's') =>
  fc.oneof(
    { weight: 150, arbitrary: place.map((n) => `"@${kind}${n}"`) },
    { weight: 1, arbitrary: wrongName },
  );
const size = { maxLength: 3, size: 'max' } as const;
/** Names given twice come about by themselves where two of a few places are the same. */
const map = (names: fc.Arbitrary<string>, values: fc.Arbitrary<string>) =>
  fc
    .oneof(
      {
        weight: 12,
        arbitrary: fc.uniqueArray(fc.tuple(names, values), {
          ...size,
          selector: ([one]) => one,
        }),
      },
      { weight: 1, arbitrary: fc.array(fc.tuple(names, values), size) },
    )
    .map((members) => `{${members.map(([one, value]) => `${one}:${value}`).join(',')}}`);

const oneRoom = map(name('s'), anyKey).map((sessions) => `{"sessions":${sessions}}`);
const allRooms = map(name('r'), oneRoom).map((rooms) => `{"rooms":${rooms}}`);
const information = fc
  .tuple(
    fc.constantFrom(...Array<string>(12).fill(ALGORITHM), OTHER_ALGORITHM, 'm.other', ''),
    opaque,
    fc.constantFrom('', '', '', ',"version":"@v"', ',"version":"1"', ',"version":1'),
  )
  .map(([algorithm, data, more]) => `{"algorithm":"${algorithm}","auth_data":${data}${more}}`);

const wrongBody = fc.oneof(
  fc.constantFrom(
    '',
    '{',
    '{}{}',
    'null',
    '[]',
    '"x"',
    '1',
    '{}',
    '{"rooms":{},}',
    '{"rooms":[]}',
    '{"rooms":{},"rooms":{}}',
    '{"rooms":{"!r":{}}}',
    '{"sessions":null}',
    '{"algorithm":1,"auth_data":{}}',
    '{"algorithm":"m.megolm_backup.v1.curve25519-aes-sha2","auth_data":[]}',
    '{"algorithm":"m.megolm_backup.v1.curve25519-aes-sha2"}',
    '{"auth_data":{}}',
    '\ufeff{"rooms":{}}',
    "{'rooms':{}}",
    '{"rooms":NaN}',
  ),
  fc.json(),
);
const bodies = { information, allRooms, oneRoom, key: anyKey };
const bodyOf = (kind: keyof typeof bodies) =>
  fc.oneof(
    { weight: 40, arbitrary: bodies[kind] },
    { weight: 1, arbitrary: fc.oneof(wrongBody, ...Object.values(bodies)) },
  );

const versionName: fc.Arbitrary<VersionName> = fc.oneof(
  { weight: 32, arbitrary: fc.constant('current' as const) },
  { weight: 4, arbitrary: fc.constant('the one before' as const) },
  { weight: 1, arbitrary: fc.constant('next' as const) },
  { weight: 4, arbitrary: fc.constantFrom('1', '2', '3').map((text) => ({ text })) },
  { weight: 1, arbitrary: fc.constantFrom(...NO_VERSIONS).map((text) => ({ text })) },
);
const queryVersions = fc.oneof(
  { weight: 60, arbitrary: versionName.map((one) => [one]) },
  { weight: 1, arbitrary: fc.constantFrom<VersionName[]>([], [{ text: '' }]) },
  { weight: 1, arbitrary: fc.tuple(versionName, versionName) },
);

const encoded = fc.constantFrom<Encoding>('where needed', 'every byte', 'small letters');
const id = fc.oneof(
  { weight: 40, arbitrary: place },
  { weight: 1, arbitrary: fc.constantFrom(...WRONG_IDS, '') },
);
const segment = (kind: 'room' | 'session'): fc.Arbitrary<Segment | string> =>
  fc.oneof(
    {
      weight: 40,
      arbitrary: fc
        .tuple(id, encoded)
        .map(([one, how]): Segment =>
          kind === 'room' ? { room: one, encoded: how } : { session: one, encoded: how },
        ),
    },
    { weight: 1, arbitrary: fc.constantFrom(...WRONG_SEGMENTS) },
  );
const room = segment('room');
const session = segment('session');
const version = fc.oneof(
  { weight: 15, arbitrary: versionName.map((one): Segment => ({ version: one })) },
  { weight: 1, arbitrary: fc.constantFrom(...WRONG_SEGMENTS) },
);

type Request = Pick<Step, 'method' | 'path' | 'versions' | 'body'>;
const on = (
  method: string,
  path: readonly [string, ...fc.Arbitrary<string | Segment>[]],
  body?: fc.Arbitrary<Body>,
): fc.Arbitrary<Request> => {
  const [first, ...rest] = path;
  return fc
    .tuple(
      fc.tuple(...rest),
      first === 'keys' ? queryVersions : fc.constant<VersionName[]>([]),
      body ?? fc.constant(undefined),
    )
    .map(([segments, versions, text]) => ({
      method,
      path: [first, ...segments],
      versions,
      ...(text === undefined ? {} : { body: text }),
    }));
};

/** The 14 operations, by how often real clients and this test's purpose want them; then what is none. */
const request = fc.oneof(
  { weight: 5, arbitrary: on('POST', ['version'], bodyOf('information')) },
  { weight: 1, arbitrary: on('GET', ['version']) },
  { weight: 1, arbitrary: on('GET', ['version', version]) },
  { weight: 3, arbitrary: on('PUT', ['version', version], bodyOf('information')) },
  { weight: 2, arbitrary: on('DELETE', ['version', version]) },
  { weight: 14, arbitrary: on('PUT', ['keys'], bodyOf('allRooms')) },
  { weight: 8, arbitrary: on('PUT', ['keys', room], bodyOf('oneRoom')) },
  { weight: 12, arbitrary: on('PUT', ['keys', room, session], bodyOf('key')) },
  { weight: 1, arbitrary: on('GET', ['keys']) },
  { weight: 1, arbitrary: on('GET', ['keys', room]) },
  { weight: 1, arbitrary: on('GET', ['keys', room, session]) },
  { weight: 2, arbitrary: on('DELETE', ['keys']) },
  { weight: 4, arbitrary: on('DELETE', ['keys', room]) },
  { weight: 5, arbitrary: on('DELETE', ['keys', room, session]) },
  {
    weight: 1,
    arbitrary: fc.oneof(
      on('POST', ['keys'], bodyOf('allRooms')),
      on('DELETE', ['version']),
      on('PATCH', ['version', version], bodyOf('information')),
      on('POST', ['keys', room, session], bodyOf('key')),
      on('GET', ['keys', room, session, session]),
      on('GET', ['version', version, version]),
      on('GET', ['Keys']),
    ),
  },
);

const step = fc
  .record({
    user: fc.oneof(
      { weight: 20, arbitrary: fc.constantFrom<Step['user']>(0, 0, 0, 1) },
      {
        weight: 1,
        arbitrary: fc.constantFrom<Step['user']>('no token', 'unknown token', 'guest'),
      },
    ),
    device: fc.constantFrom('PHONE', 'LAPTOP', undefined),
    token: fc.constantFrom<Step['token']>('header', 'header', 'header', 'query'),
    prefix: fc.constantFrom<Step['prefix']>('v3', 'v3', 'v3', 'r0', 'unstable'),
    request,
  })
  .map(({ request: what, ...who }): Step => ({ ...who, ...what }));

const family = fc.constantFrom(...FAMILIES);

/** @param longest the most steps that a sequence has */
export const sequences = (longest: number): fc.Arbitrary<Sequence> =>
  fc.record({
    rooms: family,
    sessions: family,
    backups: fc.tuple(fc.constantFrom(1, 2, 0, 1), fc.constantFrom(1, 0, 1)),
    steps: fc.array(step, { minLength: 1, maxLength: longest, size: 'max' }),
  });
