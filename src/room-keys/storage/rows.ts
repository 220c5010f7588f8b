/** What is made of the rows that statements return, and of ids that find them. */
import { hash } from 'node:crypto';
import type { KeyId, KeyRank, RoomKey } from '../room-key.js';
import type { Row } from './database/connection.js';

export const bytes = (text: string) => Buffer.from(text, 'utf8');
export const text = (value: unknown) => (value as Buffer).toString('utf8');
export const hex = (value: unknown) => (value as Buffer).toString('hex');

export const placeholders = (count: number) => Array(count).fill('?').join(', ');

export function* chunks<T>(all: readonly T[], size: number): Generator<T[]> {
  for (let start = 0; start < all.length; start += size) yield all.slice(start, start + size);
}

export const numberOrUndefined = (value: unknown) =>
  value === null || value === undefined ? undefined : Number(value);

export const textOrUndefined = (value: unknown) =>
  value === null || value === undefined ? undefined : text(value);

export const asRank = (row: Row): KeyRank => ({
  isVerified: Number(row.is_verified) === 1,
  firstMessageIndex: Number(row.first_message_index),
  forwardedCount: Number(row.forwarded_count),
});

export const asKey = (row: Row, roomId: string): RoomKey => ({
  roomId,
  sessionId: text(row.session_id),
  ...asRank(row),
  sessionData: row.session_data as string,
});

/** A key with the device that wrote it. */
export type KeyOfDevice = RoomKey & { deviceId?: string | undefined };

/** What {@link asKeyOfDevice} reads. */
export const KEY_COLUMNS =
  'session_id, first_message_index, forwarded_count, is_verified, device_id, session_data';

export const asKeyOfDevice = (row: Row, roomId: string): KeyOfDevice => ({
  ...asKey(row, roomId),
  deviceId: textOrUndefined(row.device_id),
});

/** The number of a version id; undefined if it is not one, so that no such backup exists. */
export function versionNumber(version: string): number | undefined {
  if (!/^[1-9][0-9]{0,15}$/.test(version)) return undefined;
  const id = Number(version);
  return Number.isSafeInteger(id) ? id : undefined;
}

/** Below this, a length is one byte in UTF-8 too. */
const ONE_BYTE = 0x80;

/**
 * What finds a key: 128 bits of SHA-256 over the number of bytes of the room id, as one byte, and
 * both ids. An index on it takes 40 bytes a key where one on the ids themselves would take over 100,
 * and stays in memory at a million keys. Two ids of one hash take 2^64 attempts to make, and would
 * harm only the backup of their maker, whose reads compare the ids themselves.
 *
 * @returns 32 hexadecimal digits
 */
export function idHash({ roomId, sessionId }: KeyId): string {
  const length = Buffer.byteLength(roomId);
  const hashed =
    length < ONE_BYTE
      ? String.fromCharCode(length) + roomId + sessionId
      : Buffer.concat([Uint8Array.of(length), Buffer.from(roomId + sessionId)]);
  // in one go: an object for each of an upload's hundreds, hash or buffer, is slow to clear away
  return hash('sha256', hashed).slice(0, 32);
}
