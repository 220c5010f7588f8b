import { type Json, JsonNumber, JsonObject, readJson } from './json-text.js';

/**
 * The key backup of the specification, in memory: what each request is to be answered, and what is
 * stored after it. It shares nothing with the implementation that it is held against, and is as
 * plain as can be.
 */

export const ALGORITHM = 'm.megolm_backup.v1.curve25519-aes-sha2';
/** One that the servers under test are configured for beside it. */
export const OTHER_ALGORITHM = 'org.example.other';

/** A request, as far as the specification looks at it. */
export interface Call {
  /** Whose token it carries, or of what is wrong with the token a {@link NoUser}. */
  user: string;
  method: string;
  /** Below `/room_keys/`: segments, percent-encoded. */
  path: readonly string[];
  /** Values of the query parameter `version`, decoded. */
  versions: readonly string[];
  body?: string | undefined;
}

export type NoUser = 'no token' | 'unknown token' | 'guest';

/** What is to come back. */
export type Expected =
  | { status: 200; body: Json; etag?: ExpectedEtag }
  /** If several things are wrong, any of them may be reported. */
  | { anyOf: readonly Refusal[] };

export interface Refusal {
  status: number;
  errcode: string;
  /** Present in M_WRONG_ROOM_KEYS_VERSION, and nowhere else. */
  current_version?: string;
}

/** The etag of an answer is the server's choice: what can be said of it. */
export interface ExpectedEtag {
  backup: ModelBackup;
  /** Whether the request changed the stored keys. */
  changed: boolean;
}

interface ModelKey {
  verified: boolean;
  index: number;
  forwarded: number;
  sessionData: Json;
}

export interface ModelBackup {
  version: number;
  algorithm: Json;
  authData: Json;
  rooms: Map<string, Map<string, ModelKey>>;
  /** All that the server has called a state of this backup, the latest at the end. */
  etags: string[];
}

interface ModelUser {
  lastVersion: number;
  /** Those that are not deleted, the oldest first. */
  backups: ModelBackup[];
}

type UploadedKey = readonly [roomId: string, sessionId: string, key: ModelKey];

const refusal = (status: number, errcode: string): Refusal => ({ status, errcode });
const UNRECOGNIZED = refusal(404, 'M_UNRECOGNIZED');
const WRONG_METHOD = refusal(405, 'M_UNRECOGNIZED');
const NOT_FOUND = refusal(404, 'M_NOT_FOUND');
const NOT_JSON = refusal(400, 'M_NOT_JSON');
const BAD_JSON = refusal(400, 'M_BAD_JSON');
const MISSING_PARAM = refusal(400, 'M_MISSING_PARAM');
const INVALID_PARAM = refusal(400, 'M_INVALID_PARAM');
const TOKENS: Record<NoUser, Refusal> = {
  'no token': refusal(401, 'M_MISSING_TOKEN'),
  'unknown token': refusal(401, 'M_UNKNOWN_TOKEN'),
  guest: refusal(403, 'M_GUEST_ACCESS_FORBIDDEN'),
};

const METHODS: Record<string, string[]> = {
  'version/0': ['GET', 'POST'],
  'version/1': ['GET', 'PUT', 'DELETE'],
  'keys/0': ['GET', 'PUT', 'DELETE'],
  'keys/1': ['GET', 'PUT', 'DELETE'],
  'keys/2': ['GET', 'PUT', 'DELETE'],
};

export class Model {
  private readonly users = new Map<string, ModelUser>();

  /** What the request is to be answered; it takes effect. */
  answer(call: Call): Expected {
    const [resource = '', ...ids] = call.path;
    const methods = METHODS[`${resource}/${ids.length}`];
    if (!methods || ids.includes('')) return refused(UNRECOGNIZED);
    if (!methods.includes(call.method)) return refused(WRONG_METHOD);
    const { user } = call;
    if (isNoUser(user)) return refused(TOKENS[user]);
    return resource === 'version'
      ? this.answerVersion(user, call, ids[0])
      : this.answerKeys(user, call, ids);
  }

  /** How many versions the user was ever given. */
  lastVersion(user: string): number {
    return this.users.get(user)?.lastVersion ?? 0;
  }

  /** The user's newest backup that is not deleted; `-2` for the one before it. */
  current(user: string, place = -1): ModelBackup | undefined {
    return this.users.get(user)?.backups.at(place);
  }

  // --- versions -------------------------------------------------------------------------------

  private answerVersion(user: string, { method, body }: Call, segment?: string): Expected {
    if (segment === undefined) {
      return method === 'GET' ? backupOf(this.current(user)) : this.create(user, body);
    }
    // an id that cannot be decoded is not the id of a backup either
    const version = decode(segment) ?? segment;
    const backup = this.find(user, version);
    if (method === 'GET') return backupOf(backup);
    if (method === 'PUT') return this.update(backup, version, body);
    if (!this.everExisted(user, version)) return refused(NOT_FOUND);
    const { backups } = this.users.get(user)!;
    if (backup) backups.splice(backups.indexOf(backup), 1);
    return { status: 200, body: new JsonObject([]) };
  }

  private create(user: string, body: string | undefined): Expected {
    const { faults, value } = objectOf(body);
    if (!value) return refused(...faults);
    const { algorithm, authData } = informationOf(value, faults);
    if (faults.length > 0) return refused(...faults);
    if (algorithm !== ALGORITHM && algorithm !== OTHER_ALGORITHM) return refused(INVALID_PARAM);
    const owner = this.users.get(user) ?? { lastVersion: 0, backups: [] };
    this.users.set(user, owner);
    const version = (owner.lastVersion += 1);
    owner.backups.push({ version, algorithm, authData, rooms: new Map(), etags: [] });
    return { status: 200, body: new JsonObject([['version', String(version)]]) };
  }

  private update(
    backup: ModelBackup | undefined,
    version: string,
    body: string | undefined,
  ): Expected {
    const { faults, value } = objectOf(body);
    if (!value) return refused(...faults);
    const { algorithm, authData } = informationOf(value, faults);
    const inBody = value.get('version');
    if (inBody !== undefined && typeof inBody !== 'string') faults.push(BAD_JSON);
    else if (inBody !== undefined && inBody !== version) faults.push(INVALID_PARAM);
    if (faults.length > 0) return refused(...faults);
    if (!backup) return refused(NOT_FOUND);
    if (algorithm !== backup.algorithm) return refused(INVALID_PARAM);
    backup.authData = authData;
    return { status: 200, body: new JsonObject([]) };
  }

  private find(user: string, version: string): ModelBackup | undefined {
    return this.users.get(user)?.backups.find((backup) => String(backup.version) === version);
  }

  private everExisted(user: string, version: string): boolean {
    const last = this.lastVersion(user);
    return Array.from({ length: last }, (_, n) => String(n + 1)).includes(version);
  }

  // --- keys -----------------------------------------------------------------------------------

  private answerKeys(user: string, call: Call, segments: string[]): Expected {
    const faults: Refusal[] = [];
    const [version = '', ...more] = call.versions;
    if (more.length > 0) faults.push(INVALID_PARAM);
    else if (version === '') faults.push(MISSING_PARAM);
    const ids = segments.map((segment) => {
      const id = decode(segment);
      if (id === undefined || !isId(id)) faults.push(INVALID_PARAM);
      return id ?? '';
    });
    const uploaded = call.method === 'PUT' ? uploadOf(call.body, ids, faults) : [];
    if (faults.length > 0) return refused(...faults);
    const backup = this.find(user, version);
    if (!backup) return refused(NOT_FOUND);
    if (call.method === 'GET') return keysOf(backup, ids);
    if (call.method === 'DELETE') return stateOf(backup, remove(backup, ids));
    const current = this.current(user)!;
    if (backup !== current) {
      return refused({
        status: 403,
        errcode: 'M_WRONG_ROOM_KEYS_VERSION',
        current_version: String(current.version),
      });
    }
    return stateOf(backup, store(backup, uploaded));
  }
}

/** Holds an etag that came back against all that came before it; remembers it. */
export function etagFault({ backup, changed }: ExpectedEtag, etag: string): string | undefined {
  const { etags } = backup;
  if (changed && etags.includes(etag)) return 'the keys changed, and this etag stood for others';
  if (!changed && etags.length > 0 && etag !== etags.at(-1)) return 'no key changed, the etag did';
  etags.push(etag);
  return undefined;
}

function store(backup: ModelBackup, uploaded: readonly UploadedKey[]): boolean {
  let changed = false;
  for (const [roomId, sessionId, key] of uploaded) {
    const sessions = backup.rooms.get(roomId) ?? new Map<string, ModelKey>();
    const stored = sessions.get(sessionId);
    if (stored && !replaces(key, stored)) continue;
    backup.rooms.set(roomId, sessions.set(sessionId, key));
    changed = true;
  }
  return changed;
}

/** Of two keys: the verified one; else the one with the lower index; else the one forwarded less. */
function replaces(key: ModelKey, stored: ModelKey): boolean {
  if (key.verified && !stored.verified) return true;
  if (!key.verified && stored.verified) return false;
  if (key.index < stored.index) return true;
  if (key.index > stored.index) return false;
  return key.forwarded < stored.forwarded;
}

function remove({ rooms }: ModelBackup, [roomId, sessionId]: readonly string[]): boolean {
  const before = countOf(rooms);
  if (roomId === undefined) rooms.clear();
  else if (sessionId === undefined) rooms.delete(roomId);
  else {
    rooms.get(roomId)?.delete(sessionId);
    if (rooms.get(roomId)?.size === 0) rooms.delete(roomId);
  }
  return countOf(rooms) < before;
}

function countOf(rooms: ModelBackup['rooms']): number {
  let count = 0;
  for (const sessions of rooms.values()) count += sessions.size;
  return count;
}

// --- answers ----------------------------------------------------------------------------------

const refused = (...anyOf: Refusal[]): Expected => ({ anyOf });

const number = (value: number) => new JsonNumber(String(value));

function backupOf(backup: ModelBackup | undefined): Expected {
  if (!backup) return refused(NOT_FOUND);
  const body = new JsonObject([
    ['algorithm', backup.algorithm],
    ['auth_data', backup.authData],
    ['count', number(countOf(backup.rooms))],
    ['version', String(backup.version)],
  ]);
  return { status: 200, body, etag: { backup, changed: false } };
}

function stateOf(backup: ModelBackup, changed: boolean): Expected {
  const body = new JsonObject([['count', number(countOf(backup.rooms))]]);
  return { status: 200, body, etag: { backup, changed } };
}

function keysOf({ rooms }: ModelBackup, [roomId, sessionId]: readonly string[]): Expected {
  if (roomId === undefined) {
    const members = [...rooms].map(([id, sessions]) => [id, roomOf(sessions)] as const);
    return { status: 200, body: new JsonObject([['rooms', new JsonObject(members)]]) };
  }
  const sessions = rooms.get(roomId) ?? new Map<string, ModelKey>();
  if (sessionId === undefined) return { status: 200, body: roomOf(sessions) };
  const key = sessions.get(sessionId);
  return key ? { status: 200, body: keyOf(key) } : refused(NOT_FOUND);
}

function roomOf(sessions: ReadonlyMap<string, ModelKey>): JsonObject {
  const members = [...sessions].map(([id, key]) => [id, keyOf(key)] as const);
  return new JsonObject([['sessions', new JsonObject(members)]]);
}

const keyOf = ({ verified, index, forwarded, sessionData }: ModelKey) =>
  new JsonObject([
    ['first_message_index', number(index)],
    ['forwarded_count', number(forwarded)],
    ['is_verified', verified],
    ['session_data', sessionData],
  ]);

// --- requests ---------------------------------------------------------------------------------

function isNoUser(user: string): user is NoUser {
  return user in TOKENS;
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

function isId(id: string): boolean {
  const bytes = Buffer.byteLength(id);
  return id.isWellFormed() && bytes >= 1 && bytes <= 255;
}

/** The body as an object without a name given twice, or what is wrong with it. */
function objectOf(body = ''): { faults: Refusal[]; value?: JsonObject } {
  let value: Json;
  try {
    // a byte order mark may be ignored, says RFC 8259, and is
    value = readJson(body.replace(/^\ufeff/, ''));
  } catch {
    return { faults: [NOT_JSON] };
  }
  return value instanceof JsonObject ? { faults: [], value } : { faults: [BAD_JSON] };
}

function informationOf(value: JsonObject, faults: Refusal[]) {
  const algorithm = value.get('algorithm') ?? null;
  const authData = value.get('auth_data') ?? null;
  if (typeof algorithm !== 'string' || !(authData instanceof JsonObject) || namesTwice(value)) {
    faults.push(BAD_JSON);
  }
  return { algorithm, authData };
}

/** The keys that a body holds in the shape that goes with the path. */
function uploadOf(body: string | undefined, ids: string[], faults: Refusal[]): UploadedKey[] {
  const { faults: found, value } = objectOf(body);
  faults.push(...found);
  if (!value) return [];
  const [roomId, sessionId] = ids;
  if (roomId === undefined) {
    return entriesOf(value, 'rooms', faults).flatMap(([id, room]) =>
      entriesOf(room, 'sessions', faults).flatMap(([session, key]) =>
        uploadedKey(id, session, key, faults),
      ),
    );
  }
  if (sessionId === undefined) {
    return entriesOf(value, 'sessions', faults).flatMap(([session, key]) =>
      uploadedKey(roomId, session, key, faults),
    );
  }
  return uploadedKey(roomId, sessionId, value, faults);
}

/** The members of the map that is the member `name` of an object; their names are ids. */
function entriesOf(holder: Json, name: string, faults: Refusal[]): JsonObject['members'] {
  const map = holder instanceof JsonObject ? holder.get(name) : undefined;
  if (!(holder instanceof JsonObject) || namesTwice(holder) || !(map instanceof JsonObject)) {
    faults.push(BAD_JSON);
    return [];
  }
  if (namesTwice(map)) faults.push(BAD_JSON);
  if (map.members.some(([id]) => !isId(id))) faults.push(INVALID_PARAM);
  return map.members;
}

function uploadedKey(
  roomId: string,
  sessionId: string,
  key: Json,
  faults: Refusal[],
): UploadedKey[] {
  if (!(key instanceof JsonObject)) {
    faults.push(BAD_JSON);
    return [];
  }
  const index = wholeOf(key.get('first_message_index'));
  const forwarded = wholeOf(key.get('forwarded_count'));
  const verified = key.get('is_verified');
  const sessionData = key.get('session_data');
  if (
    index === undefined ||
    forwarded === undefined ||
    typeof verified !== 'boolean' ||
    !(sessionData instanceof JsonObject) ||
    namesTwice(key)
  ) {
    faults.push(BAD_JSON);
    return [];
  }
  return [[roomId, sessionId, { verified, index, forwarded, sessionData }]];
}

function wholeOf(value: Json | undefined): number | undefined {
  if (!(value instanceof JsonNumber)) return undefined;
  const whole = Number(value.text);
  // + 0 makes 0 of −0
  return Number.isSafeInteger(whole) && whole >= 0 ? whole + 0 : undefined;
}

/** Of two members with one name, one would be lost although it was acknowledged. */
function namesTwice({ members }: JsonObject): boolean {
  return new Set(members.map(([name]) => name)).size < members.length;
}
