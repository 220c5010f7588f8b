import { idFault, MAX_ID_BYTES } from '../../room-keys/json/ids.js';
import { findJsonFault, MAX_JSON_DEPTH } from '../../room-keys/json/json-validator.js';
import { toAscii } from '../../room-keys/json/json-text.js';
import type { KeyOfDevice } from '../../room-keys/storage/rows.js';
import type { SourceBackup, SourceKey, SourceUser } from './backup-source.js';

// A homeserver stored what it never validated. What comes out of here could have been stored by a client.

/** A backup that can be stored. */
export interface ValidBackup {
  version: number;
  algorithm: string;
  /** In ASCII. */
  authData: string;
  /** As clients know it; 0 where the source has none. */
  etag: number;
  source: SourceBackup;
}

/** Why something cannot be imported. */
export class ValidationError {
  constructor(
    /** One sentence. */
    readonly message: string,
    readonly code: 'backup' | 'verification' = 'backup',
  ) {}
}

/** Whether the database can store a JSON text. */
export type Fits = (json: string) => Promise<boolean>;

/** A version in the source. */
export interface SourceVersion {
  version: unknown;
  deleted: boolean;
  backup: ValidBackup | ValidationError;
}

/** A user in the source. */
export interface SourceVersions {
  /** Each once. */
  versions: readonly SourceVersion[];
  lastVersion: number;
  reserved?: readonly number[] | undefined;
  othersAreDeleted?: boolean | undefined;
}

/** @returns what is wrong with a user id; undefined if it is valid */
export const validateUserId = (userId: unknown): string | undefined =>
  validateId('The user id', userId);

/** Whether it is a version that a client could know. */
export const isVersion = (version: unknown): version is number =>
  typeof version === 'number' && Number.isSafeInteger(version) && version >= 1;

export async function validateUser(
  { backups, lastVersion, reserved, othersAreDeleted }: SourceUser,
  fits: Fits,
): Promise<SourceVersions> {
  const versions: SourceVersion[] = [];
  for (const version of new Set(backups.map((one) => one.version))) {
    const same = backups.filter((one) => one.version === version);
    const [first] = same;
    if (!first) continue;
    // a broken unique index lets it in twice, and the keys of both name the same version
    const backup =
      same.length > 1
        ? new ValidationError('The source has the version more than once.')
        : await validateBackup(first, fits);
    versions.push({ version, deleted: same.every(({ deleted }) => deleted), backup });
  }
  return { versions, lastVersion, reserved, othersAreDeleted };
}

async function validateBackup(
  source: SourceBackup,
  fits: Fits,
): Promise<ValidBackup | ValidationError> {
  const { version, algorithm, authData } = source;
  if (!isVersion(version)) {
    return new ValidationError('The version is not a whole number from 1 to 2^53−1.');
  }
  const algorithmError = validateId('The algorithm', algorithm);
  if (algorithmError !== undefined) return new ValidationError(algorithmError);
  const json = await validateJson('auth_data', authData, fits);
  if (json instanceof ValidationError) return json;
  return { version, algorithm: String(algorithm), authData: json, etag: source.etag ?? 0, source };
}

export async function validateKey(
  source: SourceKey,
  fits: Fits,
): Promise<KeyOfDevice | ValidationError> {
  const idError =
    validateId('The room id', source.room_id) ?? validateId('The session id', source.session_id);
  if (idError !== undefined) return new ValidationError(idError);
  for (const name of ['first_message_index', 'forwarded_count'] as const) {
    if (!Number.isSafeInteger(source[name]) || Number(source[name]) < 0) {
      return new ValidationError(`${name} is not a whole number from 0 to 2^53−1.`);
    }
  }
  // SQLite has no type for true and false
  if (!([true, false, 0, 1] as unknown[]).includes(source.is_verified)) {
    return new ValidationError('is_verified is neither true nor false.');
  }
  const sessionData = await validateJson('session_data', source.session_data, fits);
  if (sessionData instanceof ValidationError) return sessionData;
  const device = source.device_id ?? undefined;
  const deviceError = device === undefined ? undefined : validateId('The device id', device);
  if (deviceError !== undefined) return new ValidationError(deviceError);
  return {
    roomId: String(source.room_id),
    sessionId: String(source.session_id),
    // −0 is a whole number from 0 too
    firstMessageIndex: Number(source.first_message_index) + 0,
    forwardedCount: Number(source.forwarded_count) + 0,
    isVerified: Boolean(source.is_verified),
    sessionData,
    deviceId: typeof device === 'string' ? device : undefined,
  };
}

/** An id for a report: at most as long as an id may be, undefined for what is not text. */
export const shownId = (id: unknown): string | undefined =>
  typeof id === 'string' ? id.slice(0, MAX_ID_BYTES) : undefined;

/** A version for a report, valid or not. */
export const shownVersion = (version: unknown): string | undefined =>
  typeof version === 'number' ? String(version) : shownId(version);

function validateId(what: string, id: unknown): string | undefined {
  if (typeof id !== 'string') return `${what} is not text.`;
  const fault = idFault(id);
  return fault === undefined ? undefined : `${what} ${fault}.`;
}

async function validateJson(
  what: string,
  value: unknown,
  fits: Fits,
): Promise<string | ValidationError> {
  if (typeof value !== 'string') return new ValidationError(`${what} is not text.`);
  if (!value.isWellFormed()) return new ValidationError(`${what} is not valid Unicode.`);
  const json = value.trim();
  const fault = findJsonFault(json);
  if (fault === 'too deep') {
    return new ValidationError(`${what} is nested deeper than ${MAX_JSON_DEPTH} levels.`);
  }
  if (fault) return new ValidationError(`${what} is not JSON.`);
  if (!json.startsWith('{')) return new ValidationError(`${what} is not a JSON object.`);
  const ascii = toAscii(json);
  return (await fits(ascii))
    ? ascii
    : new ValidationError(`${what} is larger than the database can store.`);
}
