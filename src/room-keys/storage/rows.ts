/** What is made of the rows that statements return. */
import type { KeyRank, RoomKey } from '../room-key.js';
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
