import type { RoomKey, StoredKeys } from '../room-key.js';
import type { KeyPosition } from './database/dialect.js';
import type { RawRows } from './database/raw-rows.js';

/** The keys of a page: rows of room_no, seq, first_message_index, forwarded_count, is_verified, session_id, session_data. */
export class KeyPage implements StoredKeys {
  private readonly roomIds: readonly string[];

  /** @param roomIdOf the id of a room by its number; it may throw */
  constructor(
    private readonly rows: RawRows,
    roomIdOf: (roomNo: number) => string,
  ) {
    this.roomIds = Array.from({ length: rows.length }, (_, n) => roomIdOf(rows.integer(n, 0)));
  }

  get length(): number {
    return this.roomIds.length;
  }

  /** Where the last key stands; undefined without any. */
  get last(): KeyPosition | undefined {
    const { rows, length } = this;
    if (length === 0) return undefined;
    return { roomNo: rows.integer(length - 1, 0), seq: rows.integer(length - 1, 1) };
  }

  idAndRank(n: number): Omit<RoomKey, 'sessionData'> {
    const { rows } = this;
    return {
      roomId: this.roomIds[n] ?? '',
      sessionId: rows.text(n, 0),
      firstMessageIndex: rows.integer(n, 2),
      forwardedCount: rows.integer(n, 3),
      isVerified: rows.integer(n, 4) === 1,
    };
  }

  dataLength(n: number): number {
    return this.rows.byteLength(n, 1);
  }

  copyData(n: number, target: Buffer, at: number): number {
    return this.rows.copy(n, 1, target, at);
  }

  /** As objects. */
  keys(): RoomKey[] {
    return this.roomIds.map((_, n) => ({
      ...this.idAndRank(n),
      sessionData: this.rows.text(n, 1),
    }));
  }
}
