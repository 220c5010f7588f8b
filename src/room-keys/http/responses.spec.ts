/**
 * Proves that the answers, which are put together as text, are the JSON that they stand for, with
 * any ids and with the opaque texts unchanged, wherever the pages of keys begin and end; and that
 * the keys are given back however the writing ends.
 */
import fc from 'fast-check';
import type { RoomKey, StoredKeys } from '../room-key.js';
import * as responses from './responses.js';

const stored = (keys: readonly RoomKey[]): StoredKeys => ({
  length: keys.length,
  idAndRank: (n) => keys[n]!,
  dataLength: (n) => Buffer.byteLength(keys[n]!.sessionData),
  copyData: (n, target, at) => target.write(keys[n]!.sessionData, at),
});

/** Keys in memory, in pages. */
class FakePages {
  closes = 0;
  /** The page, from 0 on, that cannot be read. */
  failingPage = Infinity;
  /** How many pages were asked for. */
  asked = 0;

  constructor(private readonly pages: RoomKey[][]) {}

  nextPage(): Promise<StoredKeys | undefined> {
    const page = this.asked++;
    if (page === this.failingPage) return Promise.reject(new Error('broken'));
    const keys = this.pages[page];
    return Promise.resolve(keys && stored(keys));
  }

  close(): Promise<void> {
    this.closes++;
    return Promise.resolve();
  }
}

async function piecesOf(text: AsyncGenerator<Buffer, void, undefined>): Promise<Buffer[]> {
  const pieces: Buffer[] = [];
  for await (const piece of text) pieces.push(piece);
  return pieces;
}

const textOf = async (text: AsyncGenerator<Buffer, void, undefined>) =>
  Buffer.concat(await piecesOf(text)).toString();

const id = fc.oneof(
  fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }),
  fc.constantFrom('__proto__', 'constructor', 'rooms', 'sessions', '0', '10', '9'),
  fc.constantFrom('"', '\\', '\0', '\u2028', ' ', '}', 'é', 'e\u0301', '🔑'),
);

const number = fc.oneof(fc.maxSafeNat(), fc.constantFrom(0, Number.MAX_SAFE_INTEGER));

const fields = fc.record({
  isVerified: fc.boolean(),
  firstMessageIndex: number,
  forwardedCount: number,
  sessionData: fc
    .dictionary(fc.string(), fc.jsonValue({ maxDepth: 1 }), { maxKeys: 2 })
    .map((value) => JSON.stringify(value)),
});

const keysOfRoom = (roomId: string, max = 6): fc.Arbitrary<RoomKey[]> =>
  fc
    .uniqueArray(id, { minLength: 1, maxLength: max })
    .chain((sessionIds) =>
      fc.tuple(
        ...sessionIds.map((sessionId) => fields.map((rest) => ({ roomId, sessionId, ...rest }))),
      ),
    );

const keysOfRooms = fc
  .uniqueArray(id, { maxLength: 4 })
  .chain((roomIds) => fc.tuple(...roomIds.map((roomId) => keysOfRoom(roomId))))
  .map((rooms) => rooms.flat());

/** Splits keys into pages at these places. */
function pagesOf(keys: RoomKey[], places: number[]): RoomKey[][] {
  const cuts = [...new Set(places.map((place) => place % (keys.length + 1)))]
    .filter((cut) => cut > 0 && cut < keys.length)
    .sort((a, b) => a - b);
  if (keys.length === 0) return [];
  return [0, ...cuts].map((start, index) => keys.slice(start, cuts[index]));
}

const places = fc.array(fc.nat(), { maxLength: 6 });

const onWire = (key: RoomKey): unknown => ({
  first_message_index: key.firstMessageIndex,
  forwarded_count: key.forwardedCount,
  is_verified: key.isVerified,
  session_data: JSON.parse(key.sessionData),
});

/** An object as a map: a map has no names of its own, and is compared without order. */
const mapOf = (object: object) => new Map<string, unknown>(Object.entries(object));

const parsed = (text: string) => JSON.parse(text) as Record<string, object>;

function key(roomId: string, sessionId: string, sessionData = '{}'): RoomKey {
  return {
    roomId,
    sessionId,
    sessionData,
    isVerified: false,
    firstMessageIndex: 1,
    forwardedCount: 2,
  };
}

const KEY = '{"first_message_index":1,"forwarded_count":2,"is_verified":false,"session_data":{}}';

describe('the answer with the keys of all rooms', () => {
  it('is the rooms, their sessions and the keys, wherever a page ends', async () => {
    await fc.assert(
      fc.asyncProperty(keysOfRooms, places, async (keys, cuts) => {
        const pages = new FakePages(pagesOf(keys, cuts));
        const { rooms, ...rest } = parsed(await textOf(responses.allRooms(pages)));
        expect(rest).toEqual({});

        const expected = new Map<string, Map<string, unknown>>();
        for (const one of keys) {
          const sessions = expected.get(one.roomId) ?? new Map<string, unknown>();
          expected.set(one.roomId, sessions.set(one.sessionId, onWire(one)));
        }
        const found = [...mapOf(rooms!)].map(([roomId, room]) => {
          const { sessions, ...more } = room as { sessions: object };
          expect(more).toEqual({});
          return [roomId, mapOf(sessions)] as const;
        });
        expect(new Map(found)).toEqual(expected);
        expect(pages.closes).toBe(1);
      }),
    );
  });

  it('is, byte for byte, the text of its keys one after the other', async () => {
    await fc.assert(
      fc.asyncProperty(keysOfRooms, places, async (keys, cuts) => {
        const rooms = [...new Set(keys.map(({ roomId }) => roomId))].map((roomId) => {
          const sessions = keys
            .filter((one) => one.roomId === roomId)
            .map((one) => `${JSON.stringify(one.sessionId)}:${responses.key(one)}`);
          return `${JSON.stringify(roomId)}:{"sessions":{${sessions.join()}}}`;
        });
        const pages = new FakePages(pagesOf(keys, cuts));
        expect(await textOf(responses.allRooms(pages))).toBe(`{"rooms":{${rooms.join()}}}`);
      }),
    );
  });

  it('is the same text wherever a page ends', async () => {
    await fc.assert(
      fc.asyncProperty(keysOfRooms, places, places, async (keys, some, others) => {
        const one = await textOf(responses.allRooms(new FakePages(pagesOf(keys, some))));
        const other = await textOf(responses.allRooms(new FakePages(pagesOf(keys, others))));
        expect(one).toBe(other);
      }),
    );
  });

  it('names each room once, in the order of the keys', async () => {
    const pages = new FakePages([[key('b', '2')], [key('b', '1'), key('a', '1')]]);
    expect(await textOf(responses.allRooms(pages))).toBe(
      `{"rooms":{"b":{"sessions":{"2":${KEY},"1":${KEY}}},"a":{"sessions":{"1":${KEY}}}}}`,
    );
  });

  it('is {"rooms":{}} without keys', async () => {
    expect(await textOf(responses.allRooms(new FakePages([])))).toBe('{"rooms":{}}');
  });
});

describe('the answer with the keys of one room', () => {
  it('is the sessions and the keys, wherever a page ends', async () => {
    const room = id.chain((roomId) => keysOfRoom(roomId, 12));
    await fc.assert(
      fc.asyncProperty(room, places, async (keys, cuts) => {
        const pages = new FakePages(pagesOf(keys, cuts));
        const { sessions, ...rest } = parsed(await textOf(responses.oneRoom(pages)));
        expect(rest).toEqual({});
        expect(mapOf(sessions!)).toEqual(new Map(keys.map((one) => [one.sessionId, onWire(one)])));
        expect(pages.closes).toBe(1);
      }),
    );
  });

  it('holds the keys in their order', async () => {
    const pages = new FakePages([[key('r', '2'), key('r', '1')], [key('r', '0')]]);
    expect(await textOf(responses.oneRoom(pages))).toBe(
      `{"sessions":{"2":${KEY},"1":${KEY},"0":${KEY}}}`,
    );
  });

  it('is {"sessions":{}} without keys', async () => {
    expect(await textOf(responses.oneRoom(new FakePages([])))).toBe('{"sessions":{}}');
  });
});

const kinds = [
  { kind: 'all rooms', write: responses.allRooms },
  { kind: 'one room', write: responses.oneRoom },
];

describe.each(kinds)('the writing of $kind', ({ write }) => {
  const threePages = () => new FakePages([[key('r', '0')], [key('r', '1')], [key('r', '2')]]);

  it('takes one page after the other, as they are asked for', async () => {
    const pages = threePages();
    const text = write(pages);
    for (let piece = 1; piece <= 3; piece++) {
      await text.next();
      expect(pages.asked).toBe(piece);
    }
  });

  it('releases the keys when the rest is not read', async () => {
    const pages = threePages();
    const text = write(pages);
    await text.next();
    expect(pages.closes).toBe(0);
    await text.return();
    expect(pages.closes).toBe(1);
  });

  it.each([0, 1, 3])(
    'fails, and gives the keys back, when page %i cannot be read',
    async (page) => {
      const pages = threePages();
      pages.failingPage = page;
      await expect(piecesOf(write(pages))).rejects.toThrow('broken');
      expect(pages.closes).toBe(1);
    },
  );

  it('leaves the opaque text of a key as it is', async () => {
    const opaque = String.raw`{ "n" : 1e999,"n":12345678901234567890, "z":-0, "\u0061":"\/" }`;
    const text = await textOf(write(new FakePages([[key('r', 's', opaque)]])));
    expect(text).toContain(`"session_data":${opaque}}`);
  });
});

describe('the other answers', () => {
  it('hold one key without its ids', () => {
    expect(responses.key(key('r', 's'))).toBe(KEY);
    fc.assert(
      fc.property(keysOfRoom('r', 1), ([one]) => {
        expect(JSON.parse(responses.key(one!))).toEqual(onWire(one!));
      }),
    );
  });

  it('hold a backup, with auth_data as it was given', () => {
    const opaque = '{ "n":1e999, "a":1, "a":2 }';
    const text = responses.backup({
      version: '12',
      algorithm: 'm."test"\\é',
      authData: opaque,
      count: 3,
      etag: '"7"',
    });
    expect(text).toContain(`"auth_data":${opaque},`);
    expect(JSON.parse(text.replace('1e999', '0'))).toEqual({
      version: '12',
      algorithm: 'm."test"\\é',
      auth_data: { n: 0, a: 2 },
      count: 3,
      etag: '"7"',
    });
  });

  it('hold count and etag, and nothing else of what they are given', () => {
    const state = { count: 3, etag: '"7"', keys: 'none' };
    expect(JSON.parse(responses.keysState(state))).toEqual({ count: 3, etag: '"7"' });
  });

  it('hold the version of a new backup', () => {
    expect(JSON.parse(responses.createdBackup('12'))).toEqual({ version: '12' });
  });

  it('hold nothing where nothing is to be said', () => {
    expect(responses.nothing()).toBe('{}');
  });
});
