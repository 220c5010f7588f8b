/** What must hold of each row, whatever the others say: see `RoomKeysFindingCode`. */
import { isUtf8 } from 'node:buffer';
import type { RoomKeysFinding, RoomKeysFindingCode } from './verification.js';
import type { Row } from './database/connection.js';
import { MAX_ID_BYTES } from '../json/ids.js';
import { idHash } from './rows.js';

/** What a finding is about. */
export type Location = Omit<RoomKeysFinding, 'code' | 'message'>;

/**
 * What the row of a user says of the versions.
 *
 * @param newest of the backups that are not deleted; null without any
 */
export function* versionsOf(
  user: Row,
  newest: unknown,
  place: Location,
): Generator<RoomKeysFinding> {
  if (!sameNumber(user.current_version, newest)) {
    yield finding(
      'current-version',
      `The current version is ${asText(user.current_version)}, and it must be ${asText(newest)}.`,
      place,
    );
  }
  const least = newest === null ? 1 : Number(newest);
  if (!(Number.isSafeInteger(Number(user.last_version)) && Number(user.last_version) >= least)) {
    yield finding(
      'last-version',
      `The last version that was assigned is ${asText(user.last_version)}, and it must be at least ${least}.`,
      place,
    );
  }
}

/** The rooms of a key set, by their numbers. */
export function* roomsByNumber(
  rows: readonly Row[],
  nextSeq: unknown,
  place: Location,
): Generator<RoomKeysFinding, Map<number, Row>> {
  const rooms = new Map<number, Row>();
  for (const room of rows) {
    const roomNo = Number(room.room_no);
    const where = { ...place, roomId: shown(room.room_id) };
    if (isBadId(room.room_id)) yield badId('room id', room.room_id, where);
    if (rooms.has(roomNo)) {
      yield finding(
        'room-number',
        `Another room of the key set has the number ${roomNo} too.`,
        where,
      );
    }
    if (roomNo >= Number(nextSeq)) {
      yield finding(
        'next-seq',
        `The room has the number ${roomNo}, and the next number is ${asText(nextSeq)}.`,
        where,
      );
    }
    rooms.set(roomNo, room);
  }
  return rooms;
}

/** What the keys of a set say of themselves. */
export interface KeyFacts {
  count: number;
  bytes: number;
  largest: number;
  highestSeq: number;
}

export function* fieldsOf(row: Row, place: Location): Generator<RoomKeysFinding> {
  if (row.known_set === null) {
    yield finding(
      'backup-without-key-set',
      'The backup names a key set that does not exist.',
      place,
    );
  } else if (row.retired_at !== null) {
    yield finding(
      'key-set-retired',
      "The backup's key set waits to be swept: its keys are going to be removed.",
      place,
    );
  }
  if (isBadId(row.algorithm)) {
    yield finding('algorithm', 'The algorithm is not 1 to 255 bytes of UTF-8.', place);
  }
  const fault = faultOfJson(row.auth_data);
  if (fault) yield finding('auth-data', `auth_data ${fault}.`, place);
  if (!isWhole(row.etag)) {
    yield finding(
      'etag',
      `The etag is ${asText(row.etag)}, not a whole number of at least 0.`,
      place,
    );
  }
  if (!(Number(row.created_at) >= 0 && Number(row.changed_at) >= Number(row.created_at))) {
    yield finding('time', 'The backup changed before it was created.', place);
  }
}

export function* countsOf(row: Row, facts: KeyFacts, place: Location): Generator<RoomKeysFinding> {
  if (Number(row.key_count) !== facts.count) {
    yield finding(
      'key-count',
      `The count is ${asText(row.key_count)}, and ${plural(facts.count, 'key')} stored.`,
      place,
    );
  }
  if (Number(row.byte_count) !== facts.bytes) {
    yield finding(
      'byte-count',
      `The bytes are ${asText(row.byte_count)}, and those of session_data are ${facts.bytes}.`,
      place,
    );
  }
  if (!(Number(row.largest_key) >= facts.largest)) {
    yield finding(
      'largest-key',
      `The size of the largest key is ${asText(row.largest_key)} bytes, and one has ${facts.largest}.`,
      place,
    );
  }
  if (!(isWhole(row.next_seq) && Number(row.next_seq) > facts.highestSeq)) {
    yield finding(
      'next-seq',
      `The next number is ${asText(row.next_seq)}, and a key has the number ${facts.highestSeq}.`,
      place,
    );
  }
}

export function* wrongInKey(
  row: Row,
  room: Buffer | undefined,
  place: Location,
): Generator<RoomKeysFinding> {
  if (!room) {
    yield finding(
      'key-without-room',
      `No room has the key's number ${asText(row.room_no)}.`,
      place,
    );
  }
  if (isBadId(row.session_id)) yield badId('session id', row.session_id, place);
  else if (room && !isBadId(room)) {
    const ids = { roomId: room.toString(), sessionId: (row.session_id as Buffer).toString() };
    if (!Buffer.isBuffer(row.id_hash) || row.id_hash.toString('hex') !== idHash(ids)) {
      yield finding('id-hash', 'The hash is not that of the ids: no request finds the key.', place);
    }
  }
  if (row.device_id !== null && isBadId(row.device_id))
    yield badId('device id', row.device_id, place);
  for (const name of ['first_message_index', 'forwarded_count'] as const) {
    if (!isWhole(row[name])) {
      yield finding(
        'rank',
        `${name} is ${asText(row[name])}, not a whole number from 0 to 2^53−1.`,
        place,
      );
    }
  }
  if (![0, 1].includes(Number(row.is_verified))) {
    yield finding(
      'rank',
      `is_verified is ${asText(row.is_verified)}, which is neither 0 nor 1.`,
      place,
    );
  }
  const fault = faultOfJson(row.session_data);
  if (fault) yield finding('session-data', `session_data ${fault}.`, place);
}

function faultOfJson(value: unknown): string | undefined {
  if (typeof value !== 'string' || !value.startsWith('{')) return 'is not a JSON object';
  try {
    JSON.parse(value);
  } catch {
    return 'is not JSON';
  }
  return isAscii(value) ? undefined : 'contains characters other than ASCII';
}

const isAscii = (text: string) => Buffer.byteLength(text) === text.length;

const isWhole = (value: unknown) =>
  value !== null && Number.isSafeInteger(Number(value)) && Number(value) >= 0;

export function isBadId(value: unknown): boolean {
  return (
    !Buffer.isBuffer(value) || value.length === 0 || value.length > MAX_ID_BYTES || !isUtf8(value)
  );
}

export const badId = (what: string, value: unknown, place: Location) =>
  finding(
    'id',
    Buffer.isBuffer(value) && (value.length === 0 || value.length > MAX_ID_BYTES)
      ? `The ${what} has ${value.length} bytes: it must have 1 to ${MAX_ID_BYTES}.`
      : `The ${what} is not UTF-8.`,
    place,
  );

const sameNumber = (one: unknown, other: unknown) =>
  one === null || other === null ? one === other : Number(one) === Number(other);

export const asText = (value: unknown) =>
  typeof value === 'number' || typeof value === 'string'
    ? String(value)
    : value === null
      ? 'none'
      : 'no number';

export const plural = (count: number, what: string) =>
  count === 1 ? `1 ${what} is` : `${count} ${what}s are`;

/** An id as text; as hexadecimal digits where it is none. */
export function shown(value: unknown): string {
  // SQLite takes values of any type
  if (!Buffer.isBuffer(value)) return asText(value);
  return isUtf8(value) ? value.toString() : `0x${value.toString('hex')}`;
}

export function finding(
  code: RoomKeysFindingCode,
  message: string,
  place: Location,
): RoomKeysFinding {
  return { code, message, ...place };
}

/** Of a backup whose user has no row. */
export const withoutUser = (backup: Row): RoomKeysFinding =>
  finding('backup-without-user', 'The backup belongs to a user who has no row.', {
    userId: shown(backup.user_id),
    version: String(Number(backup.version)),
  });
