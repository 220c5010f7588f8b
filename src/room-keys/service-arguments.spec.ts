/** Proves that the service takes what the endpoints take, and refuses the rest with an error that names the place. */
import type { RoomKey } from './room-key.js';
import type { MatrixError } from './room-keys.errors.js';
import {
  checkDeviceId,
  validateInformation,
  validateKeys,
  checkKeyId,
  checkSelection,
  checkUserId,
  checkOwner,
} from './service-arguments.js';

const KEY: RoomKey = {
  roomId: '!r:hs1',
  sessionId: 's',
  isVerified: true,
  firstMessageIndex: 0,
  forwardedCount: 0,
  sessionData: '{"x":1}',
};

const key = (part: Partial<Record<keyof RoomKey, unknown>>) => ({ ...KEY, ...part }) as RoomKey;

function errorOf(work: () => unknown): MatrixError['body'] | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return (error as MatrixError).body;
  }
}

const LONG = 'x'.repeat(300);

describe('keys', () => {
  it('are stored as the endpoints store them', () => {
    const given = key({
      firstMessageIndex: -0,
      sessionData: ' {"name":"Zoë \u{1f511}"}\n',
    });
    expect(validateKeys([given, { ...KEY, sessionId: 't' }])).toEqual([
      { ...KEY, firstMessageIndex: 0, sessionData: String.raw`{"name":"Zo\u00eb \ud83d\udd11"}` },
      { ...KEY, sessionId: 't' },
    ]);
  });

  it.each<[string, RoomKey[], errcode: string, place: string]>([
    [
      'session_data that is no JSON',
      [key({ sessionData: 'not json' })],
      'M_NOT_JSON',
      'keys[0].sessionData',
    ],
    ['half of it', [key({ sessionData: '{"x":' })], 'M_NOT_JSON', 'keys[0].sessionData'],
    [
      'a lone surrogate in it',
      [key({ sessionData: '{"x":"\ud800"}' })],
      'M_NOT_JSON',
      'sessionData',
    ],
    ['a list in its place', [key({ sessionData: '[]' })], 'M_BAD_JSON', 'must be an object'],
    ['an object in place of its text', [key({ sessionData: { x: 1 } })], 'M_BAD_JSON', 'text'],
    ['bytes in place of its text', [key({ sessionData: Buffer.from('{}') })], 'M_BAD_JSON', 'text'],
    [
      'one that nests deep',
      [key({ sessionData: `{"x":${'['.repeat(1000)}${']'.repeat(1000)}}` })],
      'M_BAD_JSON',
      'deeper',
    ],
    ['a negative index', [key({ firstMessageIndex: -1 })], 'M_BAD_JSON', 'firstMessageIndex'],
    ['half an index', [key({ firstMessageIndex: 0.5 })], 'M_BAD_JSON', 'firstMessageIndex'],
    ['an index as text', [key({ firstMessageIndex: '1' })], 'M_BAD_JSON', 'firstMessageIndex'],
    ['no count', [key({ forwardedCount: undefined })], 'M_BAD_JSON', 'forwardedCount'],
    ['a count beyond 2^53', [key({ forwardedCount: 2 ** 53 })], 'M_BAD_JSON', 'forwardedCount'],
    [
      '1 for true',
      [KEY, key({ sessionId: 't', isVerified: 1 })],
      'M_BAD_JSON',
      'keys[1].isVerified',
    ],
    ['a room id of 300 bytes', [key({ roomId: LONG })], 'M_INVALID_PARAM', 'room id'],
    ['a session id of 300 bytes', [key({ sessionId: LONG })], 'M_INVALID_PARAM', 'session id'],
    ['an empty session id', [key({ sessionId: '' })], 'M_INVALID_PARAM', 'session id'],
    ['a number as a room id', [key({ roomId: 7 })], 'M_INVALID_PARAM', 'room id'],
    ['two with the same ids', [KEY, { ...KEY, firstMessageIndex: 5 }], 'M_BAD_JSON', 'keys[1]'],
    ['null', [null as unknown as RoomKey], 'M_BAD_JSON', 'keys[0]'],
    ['one key in place of a list', KEY as unknown as RoomKey[], 'M_BAD_JSON', 'list'],
    ['20,001 of them', Array.from({ length: 20_001 }, () => KEY), 'M_TOO_LARGE', '20000'],
  ])('are refused: %s', (_, keys, errcode, place) => {
    const error = errorOf(() => validateKeys(keys));
    expect(error).toMatchObject({ errcode, error: expect.stringContaining(place) });
  });
});

describe('what a client chooses of a backup', () => {
  it('is stored as the endpoints store it', () => {
    expect(validateInformation({ algorithm: 'a', authData: '{"é":1}' })).toEqual({
      algorithm: 'a',
      authData: String.raw`{"\u00e9":1}`,
    });
  });

  it.each<[string, object, errcode: string]>([
    ['auth_data that is no JSON', { algorithm: 'a', authData: 'x' }, 'M_NOT_JSON'],
    ['an object in place of its text', { algorithm: 'a', authData: {} }, 'M_BAD_JSON'],
    ['no algorithm', { authData: '{}' }, 'M_BAD_JSON'],
    ['an algorithm of 300 bytes', { algorithm: LONG, authData: '{}' }, 'M_INVALID_PARAM'],
  ])('is refused: %s', (_, information, errcode) => {
    expect(errorOf(() => validateInformation(information as never))).toMatchObject({ errcode });
  });
});

it.each<[string, () => unknown, string | undefined]>([
  ['a user id', () => checkUserId('@alice:hs1'), undefined],
  ['a user id of 300 bytes', () => checkUserId(LONG), 'M_INVALID_PARAM'],
  ['no user id', () => checkUserId(undefined), 'M_INVALID_PARAM'],
  ['any version', () => checkOwner('@alice:hs1', 'x'), undefined],
  ['a version as a number', () => checkOwner('@alice:hs1', 1), 'M_INVALID_PARAM'],
  ['no device id', () => checkDeviceId(null), undefined],
  ['an empty device id', () => checkDeviceId(''), 'M_INVALID_PARAM'],
  ['everything', () => checkSelection({}), undefined],
  ['a room', () => checkSelection({ roomId: '!r' }), undefined],
  ['a session', () => checkSelection({ roomId: '!r', sessionId: 's' }), undefined],
  [
    'a session without its room',
    () => checkSelection({ sessionId: 's' } as never),
    'M_INVALID_PARAM',
  ],
  ['a room that is null', () => checkSelection({ roomId: null } as never), 'M_INVALID_PARAM'],
  ['a key id without a session', () => checkKeyId({ roomId: '!r' } as never), 'M_INVALID_PARAM'],
])('%s', (_, check, errcode) => {
  expect(errorOf(check)?.errcode).toBe(errcode);
});
