import { hash } from 'node:crypto';
import type { RoomKey } from '../../room-keys/room-key.js';

/**
 * Count and checksum of keys in any order: the sum of the SHA-256 of each key, word by word of 32
 * bits, modulo 2^32. A key is hashed as
 * `room_id NUL session_id NUL first_message_index NUL forwarded_count NUL is_verified (0 or 1) NUL session_data`.
 * It detects errors, not forgery.
 */
export class KeysChecksum {
  count = 0;
  private readonly words = new Uint32Array(8);

  add(keys: readonly RoomKey[]): this {
    for (const key of keys) {
      const digest = hash(
        'sha256',
        `${key.roomId}\0${key.sessionId}\0${key.firstMessageIndex}\0${key.forwardedCount}\0${key.isVerified ? 1 : 0}\0${key.sessionData}`,
        'buffer',
      );
      for (let word = 0; word < 8; word++) {
        // the array keeps 32 bits of the sum
        this.words[word] = (this.words[word] ?? 0) + digest.readUInt32BE(word * 4);
      }
    }
    this.count += keys.length;
    return this;
  }

  get hex(): string {
    return Array.from(this.words, (word) => word.toString(16).padStart(8, '0')).join('');
  }

  equals(other: KeysChecksum): boolean {
    return this.count === other.count && this.hex === other.hex;
  }
}
