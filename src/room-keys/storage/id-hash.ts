import { hash } from 'node:crypto';
import type { KeyId } from '../room-key.js';

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
