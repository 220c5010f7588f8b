import { DAY_MS } from '../room-keys-options.interface.js';
import type { Connection } from './database/connection.js';
import type { Storage } from './key-rows.js';
import { bytes } from './rows.js';

/**
 * A deletion that can be undone.
 *
 * @publicApi
 */
export interface RoomKeysDeletion {
  /** What was deleted: a backup, all keys of one, those of a room, or one key. */
  kind: 'backup' | 'keys' | 'room' | 'key';
  /** The backup, or the one that the keys were deleted from. */
  version: string;
  /** Keys that were deleted. */
  count: number;
  deletedAt: Date;
  /** When the keys are removed. */
  keptUntil: Date;
}

/** What keys are deleted from. */
export interface DeletedFrom {
  user: Buffer;
  version: number;
  keySetId: number;
}

/** How much is deleted, and an upper bound for one key of it. */
export interface DeletedSize {
  keys: number;
  bytes: number;
  largestKey: number;
}

/** In place of the number of a room. */
export const WHOLE_SET = -1;

/** Writes what deletions leave when they can be undone: see `DeletedKeysEntity`. */
export class KeptDeletions {
  /** SQL: when the keys of a deletion made now will be removed. */
  readonly until: string;

  constructor(
    private readonly storage: Storage,
    keepDeletedDays: number,
  ) {
    this.until = `${storage.dialect.now} + ${Math.trunc(keepDeletedDays * DAY_MS)}`;
  }

  /** 1 statement, before the row of the backup goes. */
  async backup(connection: Connection, { user, version }: DeletedFrom): Promise<void> {
    const { dialect, tables } = this.storage;
    await connection.defer(
      `INSERT INTO ${tables.deleted} (key_set_id, room_no, user_id, version, kind, algorithm, auth_data, etag,
         next_seq, created_at, changed_at, key_count, byte_count, largest_key, deleted_at)
       SELECT key_set_id, ${WHOLE_SET}, user_id, version, ?, algorithm, auth_data, etag,
         next_seq, created_at, changed_at, key_count, byte_count, largest_key, ${dialect.now}
       FROM ${tables.backups} WHERE user_id = ? AND version = ?`,
      [bytes('backup'), user, version],
    );
  }

  /** 1 statement. */
  allKeys(connection: Connection, from: DeletedFrom, size: DeletedSize): Promise<void> {
    return this.keys(connection, from, { roomNo: WHOLE_SET, kind: 'keys' }, size);
  }

  /** 1 statement. */
  room(
    connection: Connection,
    from: DeletedFrom,
    room: { roomNo: number; roomId: string; kind: 'room' | 'key' },
    size: DeletedSize,
  ): Promise<void> {
    return this.keys(connection, from, room, size);
  }

  private async keys(
    connection: Connection,
    { user, version, keySetId }: DeletedFrom,
    { roomNo, kind, roomId }: { roomNo: number; kind: string; roomId?: string },
    size: DeletedSize,
  ): Promise<void> {
    const { dialect, tables } = this.storage;
    await connection.defer(
      `INSERT INTO ${tables.deleted} (key_set_id, room_no, user_id, version, kind, room_id, key_count, byte_count,
         largest_key, deleted_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ${dialect.now})`,
      [
        keySetId,
        roomNo,
        user,
        version,
        bytes(kind),
        roomId === undefined ? null : bytes(roomId),
        size.keys,
        size.bytes,
        size.largestKey,
      ],
    );
  }
}
