/**
 * What the bodies of requests become. They are read by hand: class-transformer drops members named `__proto__` or
 * `constructor`, which are ids like any other here, and JSON.parse would rewrite opaque values.
 */
import { validateSync } from 'class-validator';
import { checkId } from '../json/ids.js';
import { JsonCursor } from '../json/json-text.js';
import type { BackupInformation, RoomKey } from '../room-key.js';
import { badJson, tooLarge, versionMismatch } from '../room-keys.errors.js';
import { MAX_KEYS } from '../service-arguments.js';
import { CreateBackupDto, UpdateBackupDto } from './backup-version.dto.js';
import { MAX_MEMBERS } from './json-body.interceptor.js';
import { KeyBackupDataDto } from './room-key.dto.js';
import type { JsonBody } from './room-keys.request.js';

// --- backups -----------------------------------------------------------------------------------

/** @throws 400 for a body that is not a {@link CreateBackupDto} */
export function createBackupBody(body: JsonBody): BackupInformation {
  return information(fill(new CreateBackupDto(), body));
}

/**
 * @param version the version in the path
 * @throws 400 for a body that is not an {@link UpdateBackupDto}, or has another version
 */
export function updateBackupBody(body: JsonBody, version: string): BackupInformation {
  const dto = fill(new UpdateBackupDto(), body);
  if (dto.version !== undefined && dto.version !== version) throw versionMismatch();
  return information(dto);
}

function fill<T extends CreateBackupDto | UpdateBackupDto>(dto: T, { text }: JsonBody): T {
  const cursor = new JsonCursor(text);
  readObject(cursor, here, (name) => {
    if (name === 'auth_data') dto.auth_data = cursor.raw();
    else if (name === 'algorithm') dto.algorithm = JSON.parse(cursor.value()) as string;
    else if (name === 'version' && dto instanceof UpdateBackupDto) {
      dto.version = JSON.parse(cursor.value()) as string;
    }
  });
  return checkDto(dto, '');
}

function information({ algorithm, auth_data }: CreateBackupDto): BackupInformation {
  // an empty one is refused by the service
  if (algorithm !== '') checkId('algorithm', algorithm);
  return { algorithm, authData: auth_data.ascii };
}

// --- keys: the three shapes of an upload, each flattened into one list -------------------------

/**
 * The body of `PUT keys`: `{rooms: {roomId: {sessions: {sessionId: key}}}}`.
 *
 * @throws 400 `M_BAD_JSON` or `M_INVALID_PARAM` naming the path, 413 `M_TOO_LARGE` for too many keys
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

function readRoom(cursor: JsonCursor, roomId: string, path: Path, keys: RoomKey[]): void {
  readMap(cursor, 'sessions', path, (sessionId) => {
    checkId('A session id', sessionId);
    if (keys.length === MAX_KEYS) throw tooLarge(`The body contains more than ${MAX_KEYS} keys.`);
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
        // any other value is refused below, like a missing one
        if (value !== undefined) fields.is_verified = value;
        break;
      }
      case 'session_data':
        fields.session_data = cursor.raw();
    }
  });
  // The rules of the DTO spelled out: class-validator took two seconds for 50,000 keys. If they are
  // violated, the DTO's own rules give the reason. A test compares the two.
  const dto = isValid(fields)
    ? fields
    : checkDto(Object.assign(new KeyBackupDataDto(), fields), path());
  return {
    roomId,
    sessionId,
    isVerified: dto.is_verified,
    // makes −0, which is valid, 0
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

// --- objects of either -------------------------------------------------------------------------

/** Prefix of the field name in an error; built only if there is an error. */
type Path = () => string;

const here: Path = () => '';

/** Reads an object with a required member `name`, which must be an object: calls `entry` for each of its members. */
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
 * Reads an object and refuses duplicate names: one of the two members would be lost although the
 * response says that it is stored.
 */
function readObject(cursor: JsonCursor, path: Path, member: (name: string) => void): void {
  const what = () => (path() === '' ? 'The body' : path().slice(0, -1));
  if (!cursor.isObject) throw badJson(`${what()} must be an object`);
  const names = new Names();
  cursor.object((name) => {
    if (!names.add(name)) throw badJson(`${what()} has the same name twice`);
    if (names.count > MAX_MEMBERS) {
      throw tooLarge(`The body contains an object with more than ${MAX_MEMBERS} members.`);
    }
    member(name);
  });
}

/** Comparing a few names is faster than a set; a key has four. */
const FEW = 8;

/** The names read so far of an object. */
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

/** An id in the text of an error; ids are at most 255 bytes long. */
const quoted = (id: string) => JSON.stringify(id);

/**
 * Validates a DTO by the decorators of its class.
 *
 * @param where prefix of the field name in the error
 * @throws 400 `M_BAD_JSON` naming the first invalid field
 */
function checkDto<T extends object>(dto: T, where: string): T {
  const [fault] = validateSync(dto, {
    stopAtFirstError: true,
    validationError: { target: false, value: false },
  });
  if (fault)
    throw badJson(`${where}${Object.values(fault.constraints ?? {})[0] ?? fault.property}`);
  return dto;
}
