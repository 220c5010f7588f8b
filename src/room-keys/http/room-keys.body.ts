import type { RoomKey } from '../room-key.js';
import { badJson, tooLarge } from '../room-keys.errors.js';
import { MAX_KEYS } from '../service-arguments.js';
import { checkDto } from './backup-version.body.js';
import { MAX_MEMBERS } from './json-body.interceptor.js';
import type { JsonBody } from './room-keys.request.js';
import { JsonCursor } from '../json/json-cursor.js';
import { checkId } from '../json/ids.js';
import { RawJson } from '../json/raw-json.js';
import { KeyBackupDataDto } from './room-key.dto.js';

// The three shapes of an upload, each folded into one list of keys. Maps of maps are read by hand:
// class-transformer drops members that are named `__proto__` or `constructor`, which are ids like
// any other here.

/**
 * The body of `PUT keys`: `{rooms: {roomId: {sessions: {sessionId: key}}}}`.
 *
 * @throws 400 `M_BAD_JSON` or `M_INVALID_PARAM` that names the place, 413 `M_TOO_LARGE` for too many keys
 */
export function allRoomsBody({ text }: JsonBody): RoomKey[] {
  const cursor = new JsonCursor(text);
  const keys: RoomKey[] = [];
  readMap(cursor, 'rooms', here, (roomId) => {
    checkId('A room id', roomId);
    readRoom(cursor, roomId, () => `rooms[${quoted(roomId)}].`, keys);
  });
  return keys;
}

/** The body of `PUT keys/{roomId}`: `{sessions: {sessionId: key}}`. */
export function oneRoomBody({ text }: JsonBody, roomId: string): RoomKey[] {
  const keys: RoomKey[] = [];
  readRoom(new JsonCursor(text), roomId, here, keys);
  return keys;
}

/** The body of `PUT keys/{roomId}/{sessionId}`: one key. */
export function oneKeyBody({ text }: JsonBody, roomId: string, sessionId: string): RoomKey[] {
  return [readKey(new JsonCursor(text), roomId, sessionId, here)];
}

/** What an error puts before the name of a field; put together only where there is an error. */
type Path = () => string;

const here: Path = () => '';

function readRoom(cursor: JsonCursor, roomId: string, path: Path, keys: RoomKey[]): void {
  readMap(cursor, 'sessions', path, (sessionId) => {
    checkId('A session id', sessionId);
    if (keys.length === MAX_KEYS) throw tooLarge(`The body holds more than ${MAX_KEYS} keys.`);
    const inSession = () => `${path()}sessions[${quoted(sessionId)}].`;
    keys.push(readKey(cursor, roomId, sessionId, inSession));
  });
}

function readKey(cursor: JsonCursor, roomId: string, sessionId: string, path: Path): RoomKey {
  const fields: Partial<KeyBackupDataDto> = {};
  readObject(cursor, path, (name) => {
    switch (name) {
      case 'first_message_index':
      case 'forwarded_count':
        fields[name] = cursor.number();
        break;
      case 'is_verified': {
        const value = cursor.boolean();
        // what is neither true nor false is refused below, as is what is absent
        if (value !== undefined) fields.is_verified = value;
        break;
      }
      case 'session_data':
        fields.session_data = new RawJson(cursor.value(), cursor.isAscii);
    }
  });
  // The rules of the DTO spelled out: class-validator took two seconds for 50,000 keys. Where they do
  // not hold, the DTO's own say why. A test holds the two against each other.
  const dto = isValid(fields)
    ? fields
    : checkDto(Object.assign(new KeyBackupDataDto(), fields), path());
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

const isValid = (dto: Partial<KeyBackupDataDto>): dto is KeyBackupDataDto =>
  isWhole(dto.first_message_index) &&
  isWhole(dto.forwarded_count) &&
  typeof dto.is_verified === 'boolean' &&
  dto.session_data?.isObject === true;

const isWhole = (value: unknown) =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;

/** Reads an object that must have a member `name`, which must be an object: calls `entry` for each of its members. */
function readMap(cursor: JsonCursor, name: string, path: Path, entry: (id: string) => void): void {
  const map = { found: false };
  readObject(cursor, path, (member) => {
    if (member !== name) return;
    map.found = true;
    readObject(cursor, () => `${path()}${name}.`, entry);
  });
  if (!map.found) throw badJson(`${path()}${name} must be an object`);
}

/**
 * Reads an object whose members all have different names: of two with one name, one would get lost
 * although the client was told that it is stored.
 */
function readObject(cursor: JsonCursor, path: Path, member: (name: string) => void): void {
  const what = () => (path() === '' ? 'The body' : path().slice(0, -1));
  if (!cursor.isObject) throw badJson(`${what()} must be an object`);
  const names = new Names();
  cursor.object((name) => {
    if (!names.add(name)) throw badJson(`${what()} has the same name twice`);
    if (names.count > MAX_MEMBERS) {
      throw tooLarge(`The body holds an object with more than ${MAX_MEMBERS} members.`);
    }
    member(name);
  });
}

/** A few names are sooner compared than put into a set; a key has four. */
const FEW = 8;

/** The names of an object as they come. */
class Names {
  private readonly few: string[] = [];
  private many: Set<string> | undefined;

  get count(): number {
    return this.many?.size ?? this.few.length;
  }

  /** @returns whether the name is new */
  add(name: string): boolean {
    if (this.many ? this.many.has(name) : this.few.includes(name)) return false;
    if (this.many) this.many.add(name);
    else if (this.few.push(name) === FEW) this.many = new Set(this.few);
    return true;
  }
}

/** An id inside the text of an error: an id is at most 255 bytes long. */
const quoted = (id: string) => JSON.stringify(id);
