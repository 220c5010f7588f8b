import type { RoomKey } from '../room-key.js';
import { badJson } from '../room-keys.errors.js';
import { checkDto } from './check-dto.js';
import type { JsonBody } from './json-body.js';
import { JsonCursor } from './json-cursor.js';
import { checkId } from './matrix-id.js';
import { RawJson } from './raw-json.js';
import { KeyBackupDataDto } from './room-key.dto.js';

// The three shapes of an upload, each folded into one list of keys. Maps of maps are read by hand:
// class-transformer drops members that are named `__proto__` or `constructor`, which are ids like
// any other here.

/**
 * The body of `PUT keys`: `{rooms: {roomId: {sessions: {sessionId: key}}}}`.
 *
 * @throws 400 `M_BAD_JSON` or `M_INVALID_PARAM` that names the place
 */
export function allRoomsBody({ text }: JsonBody): RoomKey[] {
  const cursor = new JsonCursor(text);
  const keys: RoomKey[] = [];
  readMap(cursor, 'rooms', '', (roomId) => {
    checkId('A room id', roomId);
    readRoom(cursor, roomId, `rooms[${quoted(roomId)}].`, keys);
  });
  return keys;
}

/** The body of `PUT keys/{roomId}`: `{sessions: {sessionId: key}}`. */
export function oneRoomBody({ text }: JsonBody, roomId: string): RoomKey[] {
  const keys: RoomKey[] = [];
  readRoom(new JsonCursor(text), roomId, '', keys);
  return keys;
}

/** The body of `PUT keys/{roomId}/{sessionId}`: one key. */
export function oneKeyBody({ text }: JsonBody, roomId: string, sessionId: string): RoomKey[] {
  return [readKey(new JsonCursor(text), roomId, sessionId, '')];
}

function readRoom(cursor: JsonCursor, roomId: string, where: string, keys: RoomKey[]): void {
  readMap(cursor, 'sessions', where, (sessionId) => {
    checkId('A session id', sessionId);
    keys.push(readKey(cursor, roomId, sessionId, `${where}sessions[${quoted(sessionId)}].`));
  });
}

function readKey(cursor: JsonCursor, roomId: string, sessionId: string, where: string): RoomKey {
  const dto = new KeyBackupDataDto();
  readObject(cursor, where, (name) => {
    switch (name) {
      case 'first_message_index':
      case 'forwarded_count':
        dto[name] = JSON.parse(cursor.value()) as number;
        break;
      case 'is_verified':
        dto.is_verified = JSON.parse(cursor.value()) as boolean;
        break;
      case 'session_data':
        dto.session_data = new RawJson(cursor.value());
    }
  });
  // The rules of the DTO spelled out: class-validator took two seconds for 50,000 keys. Where they do
  // not hold, the DTO's own say why. A test holds the two against each other.
  if (!isValid(dto)) checkDto(dto, where);
  return {
    roomId,
    sessionId,
    isVerified: dto.is_verified,
    // −0 is a whole number from 0 too
    firstMessageIndex: dto.first_message_index + 0,
    forwardedCount: dto.forwarded_count + 0,
    sessionData: dto.session_data.ascii,
  };
}

const isValid = (dto: KeyBackupDataDto) =>
  isWhole(dto.first_message_index) &&
  isWhole(dto.forwarded_count) &&
  typeof dto.is_verified === 'boolean' &&
  (dto.session_data as RawJson | undefined)?.isObject === true;

const isWhole = (value: unknown) =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

/** Reads an object that must have a member `name`, which must be an object: calls `entry` for each of its members. */
function readMap(
  cursor: JsonCursor,
  name: string,
  where: string,
  entry: (id: string) => void,
): void {
  const names = readObject(cursor, where, (member) => {
    if (member === name) readObject(cursor, `${where}${name}.`, entry);
  });
  if (!names.has(name)) throw badJson(`${where}${name} must be an object`);
}

/**
 * Reads an object whose members all have different names: of two with one name, one would get lost
 * although the client was told that it is stored.
 *
 * @returns the names
 */
function readObject(
  cursor: JsonCursor,
  where: string,
  member: (name: string) => void,
): ReadonlySet<string> {
  const what = where === '' ? 'The body' : where.slice(0, -1);
  if (!cursor.isObject) throw badJson(`${what} must be an object`);
  const given = new Set<string>();
  cursor.object((name) => {
    if (given.has(name)) throw badJson(`${what} has the same name twice`);
    given.add(name);
    member(name);
  });
  return given;
}

/** An id inside the text of an error: an id is at most 255 bytes long. */
const quoted = (id: string) => JSON.stringify(id);
