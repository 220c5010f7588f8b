import type { KeysState } from '../room-key.js';
import type { Connection, Row } from './database/connection.js';
import type { TableUpdate } from './database/dialect.js';
import type { DeletedFrom } from './kept-deletions.js';
import { insertRooms, type RoomChange, type Storage } from './key-rows.js';
import type { RowVersion } from './stored-ranks.js';

/** The row of a backup that is locked, and the counts of its rooms, as they will be written. */
export class BackupRow {
  readonly version: number;
  private etag: number;
  private keys: number;
  private bytes: number;
  private largest: number;
  private nextSeq: number;
  private setId: number;
  private readonly changedAt: number;
  private readonly roomChanges = new Map<string, RoomChange>();

  constructor(
    readonly user: Buffer,
    row: Row,
  ) {
    this.version = Number(row.version);
    this.setId = Number(row.key_set_id);
    this.etag = Number(row.etag);
    this.keys = Number(row.key_count);
    this.bytes = Number(row.byte_count);
    this.largest = Number(row.largest_key);
    this.nextSeq = Number(row.next_seq);
    this.changedAt = Number(row.changed_at);
  }

  get keySetId(): number {
    return this.setId;
  }

  get place(): DeletedFrom {
    return { user: this.user, version: this.version, keySetId: this.setId };
  }

  get state(): KeysState {
    return { count: this.keys, etag: String(this.etag) };
  }

  /** What the keys take up. `largestKey` is what no key is longer than, and may be more. */
  get size(): { keys: number; bytes: number; largestKey: number } {
    return { keys: this.keys, bytes: this.bytes, largestKey: this.largest };
  }

  /** A `seq` that no key of the set has, or had. */
  takeSeq(): number {
    return this.nextSeq++;
  }

  is({ keySetId, etag, changedAt }: RowVersion): boolean {
    return keySetId === this.setId && etag === this.etag && changedAt === this.changedAt;
  }

  /** Counts with the next etag. */
  changeRoom(roomId: string, { roomNo, isNew, keys, bytes }: RoomChange): void {
    const change = this.roomChanges.get(roomId);
    if (!change) this.roomChanges.set(roomId, { roomNo, isNew, keys, bytes });
    else {
      change.keys += keys;
      change.bytes += bytes;
    }
  }

  /** Counts keys no more, but leaves the row of their room as it is. */
  subtract(keys: number, bytes: number): void {
    this.keys -= keys;
    this.bytes -= bytes;
  }

  noteSize(sessionData: string): void {
    this.largest = Math.max(this.largest, sessionData.length);
  }

  /** Begins another key set, which is empty. */
  empty(keySetId: number): void {
    this.setId = keySetId;
    this.keys = 0;
    this.bytes = 0;
    this.largest = 0;
    this.nextSeq = 0;
  }

  /**
   * 1 statement, 2 with new rooms; on other databases than MySQL and MariaDB 1 more with known ones: increments the
   * etag.
   *
   * @param least what the etag is at least
   */
  async write(connection: Connection, storage: Storage, least: number): Promise<KeysState> {
    const { dialect, tables } = storage;
    this.etag = Math.max(this.etag + 1, least);
    const rooms = await insertRooms(connection, storage, this.setId, this.roomChanges);
    for (const { keys, bytes } of this.roomChanges.values()) {
      this.keys += keys;
      this.bytes += bytes;
    }
    this.roomChanges.clear();
    const backup: TableUpdate = {
      table: tables.backups,
      alias: 'b',
      set: {
        etag: '?',
        key_count: '?',
        byte_count: '?',
        largest_key: '?',
        next_seq: '?',
        key_set_id: '?',
        changed_at: dialect.greatest('b.changed_at', dialect.now),
      },
      where: 'b.user_id = ? AND b.version = ?',
      parameters: [
        this.etag,
        this.keys,
        this.bytes,
        this.largest,
        this.nextSeq,
        this.setId,
        this.user,
        this.version,
      ],
    };
    const last = rooms.pop();
    const updates = [...rooms.map((some) => dialect.update(some)), dialect.update(backup, last)];
    for (const [sql, parameters] of updates.flat()) await connection.defer(sql, parameters);
    return this.state;
  }
}
