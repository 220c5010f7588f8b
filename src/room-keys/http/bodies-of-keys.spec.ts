/**
 * Proves that each of the three shapes of an upload folds into the keys that it holds, in order and
 * with any ids, and that every wrong body is a 400 that names the place.
 */
import { validateSync } from 'class-validator';
import fc from 'fast-check';
import type { RoomKey } from '../room-key.js';
import { MatrixError } from '../room-keys.errors.js';
import type { JsonBody } from './room-keys.request.js';
import { RawJson } from '../json/json-text.js';
import { KeyBackupDataDto } from './room-key.dto.js';
import { allRoomsBody, oneKeyBody, oneRoomBody } from './bodies.js';

const body = (text: string): JsonBody => ({ text });

/** The error that the call ends with. */
function refusal(read: () => unknown): { status: number; errcode: string; error: string } {
  try {
    read();
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    const { errcode, error: text } = error.body;
    return { status: error.getStatus(), errcode, error: text };
  }
  throw new Error('The body was accepted.');
}

const badJson = (naming: string) => ({
  status: 400,
  errcode: 'M_BAD_JSON',
  error: expect.stringContaining(naming) as string,
});
const invalidId = (naming: string) => ({
  status: 400,
  errcode: 'M_INVALID_PARAM',
  error: expect.stringContaining(naming) as string,
});

type Fields = Record<string, string>;

/** The text of a key, whose fields are given as JSON text. */
const keyText = (fields: Fields = {}, without?: string) =>
  objectText(
    Object.entries({
      first_message_index: '1',
      forwarded_count: '2',
      is_verified: 'true',
      session_data: '{"ciphertext":"c"}',
      ...fields,
    }).filter(([name]) => name !== without),
  );

const objectText = (members: [name: string, text: string][]) =>
  `{${members.map(([name, text]) => `${JSON.stringify(name)}:${text}`).join()}}`;

const allRoomsText = (roomId: string, sessionId: string, key = keyText()) =>
  objectText([['rooms', objectText([[roomId, oneRoomText(sessionId, key)]])]]);

const oneRoomText = (sessionId: string, key = keyText()) =>
  objectText([['sessions', objectText([[sessionId, key]])]]);

/** The shapes, each around one key, and where in it the key is. */
const shapes = [
  {
    shape: 'all rooms',
    where: 'rooms["!r"].sessions["s"].',
    read: (key: string) => allRoomsBody(body(allRoomsText('!r', 's', key))),
  },
  {
    shape: 'one room',
    where: 'sessions["s"].',
    read: (key: string) => oneRoomBody(body(oneRoomText('s', key)), '!r'),
  },
  { shape: 'one key', where: '', read: (key: string) => oneKeyBody(body(key), '!r', 's') },
];

// --- generated uploads ------------------------------------------------------------------------

const id = fc.oneof(
  fc
    .string({ unit: 'binary', minLength: 1, maxLength: 40 })
    .filter((text) => Buffer.byteLength(text) <= 255),
  fc.constantFrom('__proto__', 'constructor', 'toString', 'hasOwnProperty', 'rooms', 'sessions'),
  fc.constantFrom('0', '10', '9', ' ', 'A', 'a', 'a ', '"', '\\', '\0', '!r:hs', 'é', 'e\u0301'),
);

const number = fc.oneof(
  fc.maxSafeNat(),
  fc.nat(3),
  fc.constantFrom(0, 1, Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER),
);

/** Opaque text: an object in ASCII, as JSON.stringify would not always write it. */
const opaque = fc.oneof(
  fc
    .dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 })
    .map((value) => JSON.stringify(value).replaceAll(/[^\0-\x7f]/g, '?')),
  fc.constantFrom('{}', '{ }', '{"n":1e999}', '{"a":1,"a":2}', '{"__proto__":{"constructor":[]}}'),
);

/** Members that are to be ignored, as text. */
const unknownMembers = fc.uniqueArray(
  fc.tuple(
    fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('__proto__', 'constructor', 'etag', 'Rooms', 'is_verified ', 'sessionData'),
    ),
    fc.jsonValue().map((value) => JSON.stringify(value)),
  ),
  { selector: ([name]) => name, maxLength: 3 },
);

const KNOWN = [
  'rooms',
  'sessions',
  'first_message_index',
  'forwarded_count',
  'is_verified',
  'session_data',
];

/** An object of these members and of unknown ones, in any order. */
const objectWith = (members: [name: string, text: string][]) =>
  unknownMembers
    .map((unknown) => unknown.filter(([name]) => !KNOWN.includes(name)))
    .chain((unknown) => {
      const all = [...members, ...unknown];
      return fc.shuffledSubarray(all, { minLength: all.length }).map(objectText);
    });

type Uploaded = Omit<RoomKey, 'roomId'>;

const uploadedKey = (sessionId: string): fc.Arbitrary<{ key: Uploaded; text: string }> =>
  fc
    .record({
      sessionId: fc.constant(sessionId),
      isVerified: fc.boolean(),
      firstMessageIndex: number,
      forwardedCount: number,
      sessionData: opaque,
    })
    .chain((key) =>
      objectWith([
        ['first_message_index', String(key.firstMessageIndex)],
        ['forwarded_count', String(key.forwardedCount)],
        ['is_verified', String(key.isVerified)],
        ['session_data', key.sessionData],
      ]).map((text) => ({ key, text })),
    );

const ids = fc.uniqueArray(id, { maxLength: 5 });

const uploadedRoom = ids
  .chain((sessionIds) => fc.tuple(...sessionIds.map(uploadedKey)))
  .chain((keys) =>
    objectWith([['sessions', objectText(keys.map(({ key, text }) => [key.sessionId, text]))]]).map(
      (text) => ({ keys: keys.map(({ key }) => key), text }),
    ),
  );

const upload = ids
  .chain((roomIds) =>
    fc.tuple(...roomIds.map((roomId) => uploadedRoom.map((room) => ({ roomId, ...room })))),
  )
  .chain((rooms) =>
    objectWith([['rooms', objectText(rooms.map(({ roomId, text }) => [roomId, text]))]]).map(
      (text) => ({
        text,
        keys: rooms.flatMap(({ roomId, keys }) => keys.map((key): RoomKey => ({ roomId, ...key }))),
      }),
    ),
  );

describe('an upload', () => {
  it('of all rooms becomes the list of its keys, in the order of the text', () => {
    fc.assert(
      fc.property(upload, ({ text, keys }) => {
        expect(allRoomsBody(body(text))).toEqual(keys);
      }),
    );
  });

  it('of one room becomes the list of its keys, with the id of the room', () => {
    fc.assert(
      fc.property(uploadedRoom, id, ({ text, keys }, roomId) => {
        expect(oneRoomBody(body(text), roomId)).toEqual(keys.map((key) => ({ roomId, ...key })));
      }),
    );
  });

  it('of one key becomes that key, with its ids', () => {
    const one = id.chain(uploadedKey);
    fc.assert(
      fc.property(one, id, ({ text, key }, roomId) => {
        expect(oneKeyBody(body(text), roomId, key.sessionId)).toEqual([{ roomId, ...key }]);
      }),
    );
  });

  it('keeps ids apart that a plain object would lose or put in another order', () => {
    const sessions = ['10', '9', '__proto__', 'constructor', 'a', 'A', 'é', 'e\u0301', 'a '];
    const text = objectText(sessions.map((sessionId) => [sessionId, keyText()]));
    const keys = allRoomsBody(body(`{"rooms":{"__proto__":{"sessions":${text}}}}`));
    expect(keys.map(({ roomId, sessionId }) => [roomId, sessionId])).toEqual(
      sessions.map((sessionId) => ['__proto__', sessionId]),
    );
  });

  it('keeps session_data as it was written, but for characters beyond ASCII', () => {
    const text = '{ "n" : 1e999, "é":"🔑", "n":12345678901234567890, "z":-0 }';
    const [key] = oneKeyBody(body(keyText({ session_data: text })), '!r', 's');
    expect(key?.sessionData).toBe(
      String.raw`{ "n" : 1e999, "\u00e9":"\ud83d\udd11", "n":12345678901234567890, "z":-0 }`,
    );
  });

  it('may hold the same name twice inside session_data, which is not ours to judge', () => {
    const text = '{"a":1,"a":{"b":1,"b":2}}';
    const [key] = oneKeyBody(body(keyText({ session_data: text })), '!r', 's');
    expect(key?.sessionData).toBe(text);
  });

  it.each(['{"rooms":{}}', '{"rooms":{"!r":{"sessions":{}}}}', ' { "rooms" : { } } '])(
    'may hold no key: %s',
    (text) => {
      expect(allRoomsBody(body(text))).toEqual([]);
    },
  );
});

describe.each(shapes)('a key in the shape of $shape', ({ read, where }) => {
  const whole = 'must be a whole number from 0 to 9007199254740991';
  const flag = 'must be true or false';
  const opaqueObject = 'must be an object';

  const wrongNumbers = [
    ...['-1', '1.5', '-0.5', '9007199254740992', '1e16', '1e400', '-1e400'],
    ...['"1"', '""', 'true', 'false', 'null', '[]', '[1]', '{}', '{"a":1}'],
  ];
  const wrong = [
    ...wrongNumbers.map((text) => ['first_message_index', text, whole]),
    ...wrongNumbers.map((text) => ['forwarded_count', text, whole]),
    ...['"true"', '""', '1', '0', 'null', '[]', '[true]', '{}'].map((text) => [
      'is_verified',
      text,
      flag,
    ]),
    ...['"{}"', '"secret"', '1', 'true', 'null', '[]', '[{}]'].map((text) => [
      'session_data',
      text,
      opaqueObject,
    ]),
  ] as [string, string, string][];

  it.each(wrong)('is refused with %s: %s', (field, text, rule) => {
    expect(refusal(() => read(keyText({ [field]: text })))).toEqual({
      status: 400,
      errcode: 'M_BAD_JSON',
      error: `${where}${field} ${rule}`,
    });
  });

  it.each([
    ['first_message_index', whole],
    ['forwarded_count', whole],
    ['is_verified', flag],
    ['session_data', opaqueObject],
  ])('is refused without %s', (field, rule) => {
    expect(refusal(() => read(keyText({}, field)))).toEqual({
      status: 400,
      errcode: 'M_BAD_JSON',
      error: `${where}${field} ${rule}`,
    });
  });

  it.each([
    ['0', 0],
    ['-0', 0],
    ['-0.0', 0],
    ['0e9', 0],
    ['1.0', 1],
    ['1e0', 1],
    ['10e-1', 1],
    ['1E+2', 100],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
    ['9007199254740991.0', Number.MAX_SAFE_INTEGER],
    ['9.007199254740991e15', Number.MAX_SAFE_INTEGER],
  ])('may write a number as %s', (text, value) => {
    const [key] = read(keyText({ first_message_index: text, forwarded_count: text }));
    // toBe tells 0 from −0
    expect(key?.firstMessageIndex).toBe(value);
    expect(key?.forwardedCount).toBe(value);
  });

  it.each(['null', '[]', '"key"', '1', 'true'])('is refused when it is %s', (text) => {
    const place = where === '' ? 'The body' : where.slice(0, -1);
    expect(refusal(() => read(text))).toEqual(badJson(`${place} must be an object`));
  });

  it.each([
    ['a field', '"is_verified":false,"is_verified":true'],
    ['a field in another spelling', String.raw`"is_verified":false,"is\u005fverified":true`],
    ['an unknown field', '"x":1,"x":1'],
  ])('is refused when it has %s twice', (_, members) => {
    const text = keyText({}, 'is_verified').replace('{', `{${members},`);
    const place = where === '' ? 'The body' : where.slice(0, -1);
    expect(refusal(() => read(text))).toEqual(badJson(`${place} has the same name twice`));
  });

  it('is never quoted in an error', () => {
    const fields = {
      session_data: '{"ciphertext":"hush"}',
      is_verified: '"hush"',
      extra: '"hush"',
    };
    expect(refusal(() => read(keyText(fields))).error).not.toContain('hush');
    expect(refusal(() => read(keyText({ session_data: '"hush"' }))).error).not.toContain('hush');
  });
});

describe('the maps around the keys', () => {
  const notObjects = ['null', '[]', '"x"', '1', 'true'];
  const read = (text: string) => allRoomsBody(body(text));

  it.each(notObjects)('are refused where the body is %s', (text) => {
    const refused = badJson('The body must be an object');
    expect(refusal(() => read(text))).toEqual(refused);
    expect(refusal(() => oneRoomBody(body(text), '!r'))).toEqual(refused);
  });

  it.each(notObjects)('are refused where rooms is %s', (text) => {
    expect(refusal(() => read(`{"rooms":${text}}`))).toEqual(badJson('rooms must be an object'));
  });

  it.each(notObjects)('are refused where a room is %s', (text) => {
    expect(refusal(() => read(`{"rooms":{"!r":${text}}}`))).toEqual(
      badJson('rooms["!r"] must be an object'),
    );
  });

  it.each(notObjects)('are refused where sessions is %s', (text) => {
    expect(refusal(() => read(`{"rooms":{"!r":{"sessions":${text}}}}`))).toEqual(
      badJson('rooms["!r"].sessions must be an object'),
    );
    expect(refusal(() => oneRoomBody(body(`{"sessions":${text}}`), '!r'))).toEqual(
      badJson('sessions must be an object'),
    );
  });

  it.each(['{}', '{"Rooms":{}}', '{"sessions":{}}'])('are refused without rooms: %s', (text) => {
    expect(refusal(() => read(text))).toEqual(badJson('rooms must be an object'));
  });

  it.each(['{}', '{"rooms":{}}', '{"session":{}}'])('are refused without sessions: %s', (text) => {
    expect(refusal(() => read(`{"rooms":{"!r":${text}}}`))).toEqual(
      badJson('rooms["!r"].sessions must be an object'),
    );
    expect(refusal(() => oneRoomBody(body(text), '!r'))).toEqual(
      badJson('sessions must be an object'),
    );
  });

  const room = oneRoomText('s');
  it.each([
    ['rooms', '{"rooms":{},"rooms":{}}', 'The body'],
    ['an unknown field', '{"x":1,"rooms":{},"x":1}', 'The body'],
    ['a room', `{"rooms":{"!r":${room},"!r":${room}}}`, 'rooms'],
    ['a room in another spelling', `{"rooms":{"!r":${room},"\\u0021r":${room}}}`, 'rooms'],
    ['sessions', '{"rooms":{"!r":{"sessions":{},"sessions":{}}}}', 'rooms["!r"]'],
    [
      'a session',
      `{"rooms":{"!r":{"sessions":{"s":${keyText()},"s":${keyText()}}}}}`,
      'rooms["!r"].sessions',
    ],
    [
      'a session named __proto__',
      `{"rooms":{"!r":{"sessions":{"__proto__":${keyText()},"__proto__":${keyText()}}}}}`,
      'rooms["!r"].sessions',
    ],
  ])('are refused with %s twice', (_, text, place) => {
    expect(refusal(() => read(text))).toEqual(badJson(`${place} has the same name twice`));
  });

  it('are refused as a whole for one bad key among good ones', () => {
    const sessions = Array.from({ length: 50 }, (_, index): [string, string] => [
      `s${index}`,
      keyText(index === 37 ? { is_verified: '1' } : {}),
    ]);
    expect(refusal(() => read(`{"rooms":{"!r":{"sessions":${objectText(sessions)}}}}`))).toEqual(
      badJson('rooms["!r"].sessions["s37"].is_verified'),
    );
  });

  it('may have unknown fields beside them, whose values hold the same names', () => {
    expect(read(`{"a":{"rooms":1},"rooms":{"!r":${room}},"b":[{}]}`)).toHaveLength(1);
  });
});

describe('an id in a body', () => {
  const reads = {
    'A room id': (id: string) => allRoomsBody(body(allRoomsText(id, 's'))),
    'A session id': (id: string) => allRoomsBody(body(allRoomsText('!r', id))),
  };
  const kinds = Object.entries(reads).map(([what, read]) => ({ what, read }));

  it.each(['a'.repeat(255), 'é'.repeat(127) + 'a', '🔑'.repeat(63) + 'abc'])(
    'may have 255 bytes',
    (id) => {
      expect(reads['A room id'](id)[0]?.roomId).toBe(id);
      expect(reads['A session id'](id)[0]?.sessionId).toBe(id);
      expect(oneRoomBody(body(oneRoomText(id)), '!r')[0]?.sessionId).toBe(id);
    },
  );

  describe.each(kinds)('$what', ({ what, read }) => {
    it.each(['a'.repeat(256), 'é'.repeat(128), '🔑'.repeat(64), 'a'.repeat(100_000)])(
      'is refused with more than 255 bytes',
      (id) => {
        expect(refusal(() => read(id))).toEqual(invalidId(`${what} is longer than 255 bytes`));
      },
    );

    it('is refused when it is empty', () => {
      expect(refusal(() => read(''))).toEqual(invalidId(`${what} is empty`));
    });

    it.each(['\ud800', '\udc00', 'a\ud83d', '\udd11\ud83d', '\ud83d\ud83d\udd11'])(
      'is refused with half a surrogate pair, which has no UTF-8: %j',
      (id) => {
        expect(refusal(() => read(id))).toEqual(invalidId(`${what} is not valid Unicode`));
      },
    );
  });

  it('is checked in the body for one room as well', () => {
    expect(refusal(() => oneRoomBody(body(oneRoomText('')), '!r'))).toEqual(
      invalidId('A session id is empty'),
    );
  });

  it('is checked also where the room has no sessions', () => {
    expect(refusal(() => allRoomsBody(body('{"rooms":{"":{"sessions":{}}}}')))).toEqual(
      invalidId('A room id is empty'),
    );
  });

  it('is quoted in an error, to distinguish it from the text around it', () => {
    const key = keyText({ is_verified: '1' });
    expect(refusal(() => allRoomsBody(body(allRoomsText('"].x["', '\n', key))))).toEqual(
      badJson(String.raw`rooms["\"].x[\""].sessions["\n"].is_verified must be true or false`),
    );
  });
});

describe('the rules that are spelled out', () => {
  const number = fc.oneof(
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.constantFrom(-1, -0, 0, 0.5, 2 ** 53 - 1, 2 ** 53, -(2 ** 53)),
  );
  const anything = fc.oneof(number, fc.jsonValue());

  it('accept exactly the keys that the DTO accepts', () => {
    fc.assert(
      fc.property(
        fc.oneof(number, anything),
        fc.oneof(number, anything),
        fc.oneof(fc.boolean(), anything),
        fc.oneof(fc.dictionary(fc.string(), fc.jsonValue()), anything),
        (first_message_index, forwarded_count, is_verified, session_data) => {
          const key = { first_message_index, forwarded_count, is_verified, session_data };
          const dto = Object.assign(new KeyBackupDataDto(), key, {
            session_data: new RawJson(JSON.stringify(session_data)),
          });
          const accepts = () => {
            try {
              return oneKeyBody(body(JSON.stringify(key)), '!r', 's').length === 1;
            } catch {
              return false;
            }
          };
          expect(accepts()).toBe(validateSync(dto).length === 0);
        },
      ),
      { numRuns: 500 },
    );
  });
});
