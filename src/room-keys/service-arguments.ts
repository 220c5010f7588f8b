/**
 * Validates the arguments of the service, with the errors of the endpoints: stored values are sent to clients unchanged,
 * and one invalid key would break the whole restore of its user.
 */
import { checkId } from './json/ids.js';
import { findJsonFault, MAX_JSON_DEPTH } from './json/json-validator.js';
import { toAscii } from './json/json-text.js';
import type { BackupInformation, KeyId, KeySelection, RoomKey } from './room-key.js';
import { badJson, invalidParameter, notJson, tooLarge } from './room-keys.errors.js';

/**
 * Maximum number of keys in one upload: they are stored in one transaction, and on SQLite all others
 * wait for it. The largest body that is accepted by default has room for fewer keys of real clients, of
 * 860 bytes each; a client sends 100 at once, old ones 500.
 */
export const MAX_KEYS = 20_000;

/** @throws 400 `M_INVALID_PARAM` */
export function checkUserId(userId: unknown): void {
  checkText('The user id', userId);
}

/** Any string is valid as a version; it may just not exist. @throws 400 `M_INVALID_PARAM` */
export function checkOwner(userId: unknown, version: unknown, deviceId?: unknown): void {
  checkUserId(userId);
  checkDeviceId(deviceId);
  if (typeof version !== 'string') throw invalidParameter('The version must be a string.');
}

/** @throws 400 `M_INVALID_PARAM` */
export function checkDeviceId(deviceId: unknown): void {
  if (deviceId !== undefined && deviceId !== null) checkText('The device id', deviceId);
}

/** @throws 400 `M_INVALID_PARAM` */
export function checkKeyId({ roomId, sessionId }: KeyId): void {
  checkText('The room id', roomId);
  checkText('The session id', sessionId);
}

/** @throws 400 `M_INVALID_PARAM` */
export function checkSelection({ roomId, sessionId }: KeySelection): void {
  if ((roomId as unknown) !== undefined) checkText('The room id', roomId);
  if (sessionId === undefined) return;
  if ((roomId as unknown) === undefined) throw invalidParameter('The room id is missing.');
  checkText('The session id', sessionId);
}

/**
 * Returns algorithm and auth_data as they are stored.
 *
 * @throws 400 `M_BAD_JSON`, `M_NOT_JSON`, `M_INVALID_PARAM`
 */
export function validateInformation(information: BackupInformation): BackupInformation {
  const { algorithm, authData }: { algorithm: unknown; authData: unknown } = information;
  if (typeof algorithm !== 'string') throw badJson('algorithm must be a string');
  if (algorithm !== '') checkText('algorithm', algorithm);
  return { algorithm, authData: validateObject('authData', authData) };
}

/**
 * Returns keys as they are stored.
 *
 * @throws 400 `M_BAD_JSON`, `M_NOT_JSON` or `M_INVALID_PARAM` naming the key; 413 `M_TOO_LARGE` for too many
 */
export function validateKeys(keys: readonly RoomKey[]): RoomKey[] {
  if (!Array.isArray(keys)) throw badJson('keys must be a list');
  if (keys.length > MAX_KEYS) throw tooLarge(`There are more than ${MAX_KEYS} keys.`);
  const rooms = new Map<string, Set<string>>();
  return keys.map((key: RoomKey, index) => {
    const what = `keys[${index}]`;
    if (typeof key !== 'object' || (key as unknown) === null)
      throw badJson(`${what} must be an object`);
    checkKeyId(key);
    const sessions = rooms.get(key.roomId) ?? new Set();
    if (sessions.has(key.sessionId)) throw badJson(`${what} has the same ids as one before it`);
    rooms.set(key.roomId, sessions.add(key.sessionId));
    if (typeof (key.isVerified as unknown) !== 'boolean')
      throw badJson(`${what}.isVerified must be true or false`);
    return {
      roomId: key.roomId,
      sessionId: key.sessionId,
      isVerified: key.isVerified,
      firstMessageIndex: validateWhole(`${what}.firstMessageIndex`, key.firstMessageIndex),
      forwardedCount: validateWhole(`${what}.forwardedCount`, key.forwardedCount),
      sessionData: validateObject(`${what}.sessionData`, key.sessionData),
    };
  });
}

function checkText(what: string, id: unknown): void {
  if (typeof id !== 'string') throw invalidParameter(`${what} must be a string.`);
  checkId(what, id);
}

function validateWhole(what: string, value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw badJson(`${what} must be a whole number from 0 to 9007199254740991`);
  }
  // makes −0, which passes the check, 0
  return (value as number) + 0;
}

function validateObject(what: string, value: unknown): string {
  if (typeof value !== 'string') throw badJson(`${what} must be the text of a JSON object`);
  const json = value.trim();
  // a lone surrogate cannot be encoded in UTF-8
  const fault = json.isWellFormed() ? findJsonFault(json) : 'not JSON';
  if (fault === 'too deep') throw badJson(`${what} is nested deeper than ${MAX_JSON_DEPTH} levels`);
  if (fault !== undefined) throw notJson(`${what} is not JSON.`);
  if (!json.startsWith('{')) throw badJson(`${what} must be an object`);
  return toAscii(json);
}
