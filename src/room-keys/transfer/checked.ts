import { findJsonFault } from '../json/json-validator.js';
import { MAX_JSON_DEPTH, toAscii } from '../json/opaque-json.js';
import type { SourceBackup, SourceKey, TransferKey } from './transfer.js';

// A homeserver stored what it never checked. What comes out of here could have been stored by a client.

const MAX_ID_BYTES = 255;

/** A backup whose parts are what they must be. */
export interface CheckedBackup {
  version: number;
  algorithm: string;
  /** In ASCII. */
  authData: string;
  /** As clients know it; 0 where the source has none. */
  etag: number;
  source: SourceBackup;
}

/** Why it is none. */
export class Fault {
  constructor(
    /** Part of a sentence: `is longer than 255 bytes`. */
    readonly message: string,
  ) {}
}

/** A user id that can be stored, or what is wrong with it. */
export const faultOfUserId = (userId: unknown): string | undefined =>
  faultOfId('The user id', userId);

/** Whether it is the id of a version that a client could know. */
export const isVersion = (version: unknown): version is number =>
  typeof version === 'number' && Number.isSafeInteger(version) && version >= 1;

/** Reads a backup. */
export function checkedBackup(source: SourceBackup): CheckedBackup | Fault {
  const { version, algorithm, authData, fault } = source;
  if (!isVersion(version)) {
    return new Fault('The version is no whole number from 1 to 2^53−1.');
  }
  if (fault !== undefined) return new Fault(fault);
  const algorithmFault = faultOfId('The algorithm', algorithm);
  if (algorithmFault !== undefined) return new Fault(algorithmFault);
  const json = checkedJson('auth_data', authData);
  if (json instanceof Fault) return json;
  return { version, algorithm: String(algorithm), authData: json, etag: source.etag ?? 0, source };
}

/** Reads a key. */
export function checkedKey(source: SourceKey): TransferKey | Fault {
  const idFault =
    faultOfId('The room id', source.room_id) ?? faultOfId('The session id', source.session_id);
  if (idFault !== undefined) return new Fault(idFault);
  for (const name of ['first_message_index', 'forwarded_count'] as const) {
    if (!Number.isSafeInteger(source[name]) || Number(source[name]) < 0) {
      return new Fault(`${name} is no whole number from 0 to 2^53−1.`);
    }
  }
  // SQLite has no type for true and false
  if (!([true, false, 0, 1] as unknown[]).includes(source.is_verified)) {
    return new Fault('is_verified is neither true nor false.');
  }
  const sessionData = checkedJson('session_data', source.session_data);
  if (sessionData instanceof Fault) return sessionData;
  const device = source.device_id ?? undefined;
  const deviceFault = device === undefined ? undefined : faultOfId('The device id', device);
  if (deviceFault !== undefined) return new Fault(deviceFault);
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

/** An id for a report: at most as long as an id may be, undefined for what is no text. */
export const shownId = (id: unknown): string | undefined =>
  typeof id === 'string' ? id.slice(0, MAX_ID_BYTES) : undefined;

/** A version for a report, be it one or not. */
export const shownVersion = (version: unknown): string | undefined =>
  typeof version === 'number' ? String(version) : shownId(version);

function faultOfId(what: string, id: unknown): string | undefined {
  if (typeof id !== 'string') return `${what} is no text.`;
  if (!id.isWellFormed()) return `${what} is not valid Unicode.`;
  const size = Buffer.byteLength(id);
  if (size === 0) return `${what} is empty.`;
  return size > MAX_ID_BYTES ? `${what} is longer than ${MAX_ID_BYTES} bytes.` : undefined;
}

function checkedJson(what: string, value: unknown): string | Fault {
  if (typeof value !== 'string') return new Fault(`${what} is no text.`);
  if (!value.isWellFormed()) return new Fault(`${what} is not valid Unicode.`);
  const json = value.trim();
  const fault = findJsonFault(json, { maxDepth: MAX_JSON_DEPTH });
  if (fault === 'too deep') return new Fault(`${what} nests deeper than ${MAX_JSON_DEPTH} levels.`);
  if (fault) return new Fault(`${what} is no JSON.`);
  return json.startsWith('{') ? toAscii(json) : new Fault(`${what} is no JSON object.`);
}
