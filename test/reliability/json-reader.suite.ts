import { Readable } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import type { Request } from 'express';
import fc from 'fast-check';
import { MatrixError } from '../../src/index.js';
import {
  allRoomsBody,
  createBackupBody,
  oneKeyBody,
  oneRoomBody,
  updateBackupBody,
} from '../../src/room-keys/http/bodies.js';
import { readJson } from '../../src/room-keys/http/json-body.interceptor.js';
import type { RoomKey } from '../../src/room-keys/room-key.js';
import { type Bytes, bodyOf, edited, JSON_PIECES, rightBody, SHAPE_NAMES } from './fuzz.bodies.js';
import { JsonObject, readJson as readLossless } from './json-text.js';
import { Random } from './random.js';

interface Extent {
  seed: number;
  /** How many bodies are read, about, unless the time is over before. */
  inputs: number;
  minutes: number;
  /** Receives its result. */
  report?: (text: string) => void;
}

/** Bodies that are made of one by changing some of its bytes. */
const VARIANTS = 100;
/** Of one that is larger, there is none: it takes its time. */
const SMALL = 4096;
const MAX_DEPTH = 1000;
const bounds = {
  maxBytes: 1024 * 1024,
  idleMs: 60_000,
  reservation: { reserve: () => undefined, release: () => undefined },
};

interface Tally {
  bodies: number;
  json: number;
  /** Readings by one of the operations that hold what JSON.parse holds. */
  accepted: number;
}

/** Holds the module's own reading of JSON against JSON.parse. */
export function describeJsonReader({ seed, inputs, minutes, report }: Extent): void {
  describe('the reading of a body', () => {
    it('takes what JSON.parse takes, and finds in it what JSON.parse finds', async () => {
      const tally: Tally = { bodies: 0, json: 0, accepted: 0 };
      const base = fc.oneof(rightBody, fc.oneof(...SHAPE_NAMES.map(bodyOf)));
      const result = await fc.check(
        fc.asyncProperty(base, fc.nat(), async (bytes, variant) => {
          const random = new Random(variant);
          await holdAgainstParse(bytes, tally);
          if (bytes.length > SMALL) return;
          for (let n = 1; n < VARIANTS; n++) await holdAgainstParse(changed(bytes, random), tally);
        }),
        {
          seed,
          numRuns: Math.ceil(inputs / VARIANTS),
          interruptAfterTimeLimit: minutes * 60_000,
        },
      );
      if (result.failed) {
        const { message } = result.errorInstance as Error;
        throw new Error(`${message}\nTo try it again: RELIABILITY_SEED=${seed}`);
      }
      report?.(
        `${tally.bodies} bodies, ${tally.json} of them JSON, ${tally.accepted} readings of them as what an operation takes, differences: 0, seed ${seed}`,
      );
    });
  });
}

/** Most of them stay JSON, and mean something else. */
function changed(bytes: Bytes, random: Random): Bytes {
  const way = random.below(5);
  return way < 2
    ? rewritten(bytes, random)
    : way === 2
      ? doubled(bytes, random)
      : spoilt(bytes, random);
}

/** The same text with a member twice. */
function doubled(bytes: Bytes, random: Random): Bytes {
  const members = [...bytes.matchAll(/"(?:[^"\\]|\\[^])*":(?:[-\w.+]+|\{\})/g)];
  if (members.length === 0) return bytes;
  const { 0: member, index } = random.of(members);
  return `${bytes.slice(0, index)}${member},${bytes.slice(index)}`;
}

const STRINGS = [
  ...[
    '"rooms"',
    '"\\u0072ooms"',
    '"sessions"',
    '"sess\\u0069ons"',
    '"__proto__"',
    '"\\u005f_proto__"',
  ],
  ...['"session_data"', '"session_dat\\u0061"', '"is_verified"', '"version"', '"2"', '"\\u0032"'],
  ...[
    '"algorithm"',
    '"\\\\"',
    '"\\""',
    '"\\\\\\""',
    '"{"',
    '"}"',
    '"[\\"]"',
    '""',
    '"\\ud800"',
    '"\\/"',
  ],
];
const OTHERS = ['0', '-0', '1e0', '1E+2', '1e999', '9007199254740992', 'true', 'false', 'null'];
const SPACES = [' ', '\n', '\t\r\n '];

/** The same text with some of its tokens replaced by others of their kind, and space between them. */
function rewritten(bytes: Bytes, random: Random): Bytes {
  const rate = 2 + random.below(12);
  return bytes.replaceAll(/"(?:[^"\\]|\\[^])*"|[-\w.+]+|[,:{}[\]]/g, (token) => {
    const space = random.below(8) === 0 ? random.of(SPACES) : '';
    if (random.below(rate) > 0 || /^[,:{}[\]]/.test(token)) return space + token;
    const other = token.startsWith('"') ? STRINGS : [...OTHERS, ...STRINGS, '{}', '[]', '[{}]'];
    return space + random.of(other);
  });
}

function spoilt(bytes: Bytes, random: Random): Bytes {
  const edits = Array.from({ length: 1 + random.below(3) }, () => ({
    at: random.below(2 ** 31),
    removed: random.below(3),
    inserted:
      random.below(2) === 0 ? random.of(JSON_PIECES) : String.fromCharCode(random.below(256)),
  }));
  return edited(bytes, edits);
}

async function holdAgainstParse(bytes: Bytes, tally: Tally): Promise<void> {
  tally.bodies += 1;
  const text = textOf(bytes);
  const parsed = text === undefined ? undefined : parse(text);
  const read = await outcome(() => readJson(requestOf(bytes), bounds));
  const tell = (what: string) =>
    new Error(`${what}\n  body: ${JSON.stringify(bytes.slice(0, 4000))}`);
  if ('refusal' in read) {
    // depth is asked first, of what is no JSON too
    const isAllowed =
      read.refusal === 'M_NOT_JSON' ? !parsed : read.refusal === 'M_BAD_JSON' && isDeep(bytes);
    if (!isAllowed) throw tell(`it is refused as ${read.refusal}`);
    return;
  }
  if (!parsed || text === undefined) throw tell('it is taken, and is no JSON');
  if (read.value.text !== text) throw tell('its text is another');
  tally.json += 1;
  for (const { name, reading, expected } of SHAPES) {
    const found = await outcome(() => reading(read.value));
    const wanted = expected(parsed.value, readLossless(text));
    if ('refusal' in found) {
      if (wanted !== undefined) throw tell(`as ${name}, it is refused as ${found.refusal}`);
    } else if (wanted === undefined) throw tell(`as ${name}, it is taken`);
    else if (!isDeepStrictEqual(found.value, wanted)) {
      throw tell(`as ${name}, it is ${JSON.stringify(found.value)}, not ${JSON.stringify(wanted)}`);
    } else tally.accepted += 1;
  }
}

/** As far as reading a body asks anything of a request. */
function requestOf(bytes: Bytes): Request {
  const request = Readable.from([Buffer.from(bytes, 'latin1')], { objectMode: false });
  return Object.assign(request, { headers: {}, complete: true }) as unknown as Request;
}

/** @throws errors that are not a response to the client */
async function outcome<T>(read: () => T | Promise<T>): Promise<{ value: T } | { refusal: string }> {
  try {
    return { value: await read() };
  } catch (error) {
    if (!(error instanceof MatrixError) || ![400, 413].includes(error.getStatus())) throw error;
    return { refusal: error.body.errcode };
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true });

function textOf(bytes: Bytes): string | undefined {
  try {
    return decoder.decode(Buffer.from(bytes, 'latin1'));
  } catch {
    return undefined;
  }
}

function parse(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return undefined;
  }
}

const isDeep = (bytes: Bytes) => bytes.split(/[[{]/).length > MAX_DEPTH;

// --- what each operation finds, by JSON.parse -------------------------------------------------------

type Parsed = Record<string, unknown>;
type Lossless = ReturnType<typeof readLossless> | undefined;

const isObject = (value: unknown): value is Parsed =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isWhole = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const isId = (id: string) => id.isWellFormed() && id !== '' && Buffer.byteLength(id) <= 255;

/** Of two members with one name, JSON.parse keeps one, and says nothing. */
const namesTwice = (object: Lossless) =>
  !(object instanceof JsonObject) ||
  new Set(object.members.map(([name]) => name)).size < object.members.length;
const member = (object: Lossless, name: string) =>
  object instanceof JsonObject ? object.get(name) : undefined;

/** The entries of the map `name` of an object; undefined where the object has none. */
function entriesOf(
  value: unknown,
  text: Lossless,
  name: string,
): [id: string, value: unknown, text: Lossless][] | undefined {
  if (!isObject(value) || namesTwice(text) || !Object.hasOwn(value, name)) return undefined;
  const map = value[name];
  const inText = member(text, name);
  if (!isObject(map) || namesTwice(inText) || !Object.keys(map).every(isId)) return undefined;
  return Object.entries(map).map(([id, one]) => [id, one, member(inText, id)]);
}

const idsOf = (roomId: string, sessionId: string) => JSON.stringify([roomId, sessionId]);

/** A key as this test compares it, with what `session_data` stands for. */
const keyFrom = (roomId: string, sessionId: string, value: unknown, text: Lossless) => {
  if (!isObject(value) || namesTwice(text)) return undefined;
  const { first_message_index, forwarded_count, is_verified, session_data } = value;
  const isRight =
    isWhole(first_message_index) &&
    isWhole(forwarded_count) &&
    typeof is_verified === 'boolean' &&
    isObject(session_data);
  if (!isRight) return undefined;
  const rank = [is_verified, Number(first_message_index) + 0, Number(forwarded_count) + 0];
  return [idsOf(roomId, sessionId), [...rank, session_data]] as const;
};
type ComparedKey = NonNullable<ReturnType<typeof keyFrom>>;

/** All of them, or nothing. */
function allOf(keys: (ComparedKey | undefined)[] | undefined): Map<string, unknown> | undefined {
  const whole = keys?.filter((key) => key !== undefined);
  return whole && whole.length === keys?.length ? new Map(whole) : undefined;
}

const roomFrom = (roomId: string, value: unknown, text: Lossless) =>
  entriesOf(value, text, 'sessions')?.map(([id, key, inText]) => keyFrom(roomId, id, key, inText));

function roomsFrom(value: unknown, text: Lossless) {
  const rooms = entriesOf(value, text, 'rooms')?.map(([id, room, inText]) =>
    roomFrom(id, room, inText),
  );
  return rooms?.every((room) => room !== undefined) ? rooms.flat() : undefined;
}

function informationFrom(value: unknown, text: Lossless) {
  if (!isObject(value) || namesTwice(text)) return undefined;
  const { algorithm, auth_data } = value;
  if (typeof algorithm !== 'string' || !isObject(auth_data)) return undefined;
  if (!algorithm.isWellFormed() || Buffer.byteLength(algorithm) > 255) return undefined;
  return { algorithm, authData: auth_data };
}

/** What was found, with the text that is stored as what it stands for; it is ASCII. */
const comparable = (keys: readonly RoomKey[]) =>
  new Map<string, unknown>(
    keys.map((key) => [
      idsOf(key.roomId, key.sessionId),
      [key.isVerified, key.firstMessageIndex, key.forwardedCount, opaque(key.sessionData)],
    ]),
  );
const opaque = (text: string): unknown => {
  if (!/^[\0-\x7f]*$/.test(text)) throw new Error('what is stored is not ASCII');
  return JSON.parse(text);
};

interface Reading {
  name: string;
  reading: (body: { text: string }) => unknown;
  /** Undefined for what is to be refused. */
  expected: (value: unknown, text: Lossless) => unknown;
}

const SHAPES: Reading[] = [
  {
    name: 'keys of all rooms',
    reading: (body) => comparable(allRoomsBody(body)),
    expected: (value, text) => allOf(roomsFrom(value, text)),
  },
  {
    name: 'keys of a room',
    reading: (body) => comparable(oneRoomBody(body, '!r')),
    expected: (value, text) => allOf(roomFrom('!r', value, text)),
  },
  {
    name: 'a key',
    reading: (body) => comparable(oneKeyBody(body, '!r', 's')),
    expected: (value, text) => allOf([keyFrom('!r', 's', value, text)]),
  },
  {
    name: 'a new backup',
    reading: (body) => {
      const { algorithm, authData } = createBackupBody(body);
      return { algorithm, authData: opaque(authData) };
    },
    expected: informationFrom,
  },
  {
    name: 'a changed backup',
    reading: (body) => {
      const { algorithm, authData } = updateBackupBody(body, '2');
      return { algorithm, authData: opaque(authData) };
    },
    expected: (value, text) =>
      isObject(value) && Object.hasOwn(value, 'version') && value.version !== '2'
        ? undefined
        : informationFrom(value, text),
  },
];
