/** The SQL of undoing deletions of keys: see `DeletedKeysEntity`. */
import type { DataSource } from 'typeorm';
import { BackupHistory } from './backup-history.js';
import type { Connection, Row } from './database/connection.js';
import { Database, THE_SERVER } from './database/database.js';
import type { KeyPosition } from './database/dialect.js';
import {
  KeySetPages,
  positionOf,
  queryOf,
  readRooms,
  roomOf,
  type Rooms,
  rowsPerPage,
} from './key-set-pages.js';
import { type RoomKeysDeletion, WHOLE_SET } from './kept-deletions.js';
import type { LockedBackup } from './locked-backup.js';
import { lockUser } from './locked-user.js';
import {
  asKeyOfDevice,
  bytes,
  KEY_COLUMNS,
  type KeyOfDevice,
  text,
  textOrUndefined,
} from './rows.js';

const ROWS_PER_PAGE = 500;
const BYTES_PER_PAGE = 2 * 1024 * 1024;
/** Keys that are being merged stay for so long at least, whenever they are due. */
const LEASE_MS = 60 * 60 * 1000;

/** A deletion, and where its keys are. */
export interface KeptDeletion extends RoomKeysDeletion {
  keySetId: number;
  roomNo: number;
  roomId: string | undefined;
  largestKey: number;
}

/** Merges deleted keys into the backup that they were deleted from. */
export class DeletedKeysRepository {
  private readonly database: Database;
  private readonly history: BackupHistory | undefined;

  constructor(dataSource: DataSource, historyDays: number) {
    this.database = Database.of(dataSource);
    this.history = BackupHistory.for(this.database, historyDays);
  }

  /** 1 statement, no lock: of one user, in the order in which they were deleted. */
  async deletions(userId: string): Promise<KeptDeletion[]> {
    const { dialect, tables } = this.database;
    const rows = await this.database.rows(
      THE_SERVER,
      `SELECT d.key_set_id, d.room_no, d.version, d.kind, d.room_id, d.key_count, d.largest_key, d.deleted_at,
         m.retired_at FROM ${tables.deleted} d JOIN (
           SELECT key_set_id, ${WHOLE_SET} AS room_no, retired_at FROM ${tables.keySets}
           UNION ALL SELECT key_set_id, room_no, retired_at FROM ${tables.retiredRooms}
         ) m ON m.key_set_id = d.key_set_id AND m.room_no = d.room_no
       WHERE d.user_id = ? AND m.retired_at > ${dialect.now} ORDER BY d.deleted_at, d.key_set_id, d.room_no`,
      [bytes(userId)],
    );
    return rows.map((row) => ({
      kind: text(row.kind) as RoomKeysDeletion['kind'],
      version: String(Number(row.version)),
      count: Number(row.key_count),
      deletedAt: new Date(Number(row.deleted_at)),
      keptUntil: new Date(Number(row.retired_at)),
      keySetId: Number(row.key_set_id),
      roomNo: Number(row.room_no),
      roomId: textOrUndefined(row.room_id),
      largestKey: Number(row.largest_key),
    }));
  }

  /** None for a room, else 1 statement, no lock: what {@link mergePage} needs to know of a deletion's rooms. */
  async roomsOf({ keySetId, roomNo, roomId }: KeptDeletion): Promise<Rooms> {
    if (roomId !== undefined) return { ids: new Map([[roomNo, roomId]]), retired: [] };
    return this.database.read(THE_SERVER, (connection) =>
      readRooms(queryOf(connection), this.database, keySetId),
    );
  }

  /**
   * 6 statements and those of `merge`, 1 more at the end of the deletion and 2 for the history; locks the user: merges
   * a page of deleted keys into a backup. With the last one, the deletion is undone, and its rows wait to be removed.
   *
   * @param merge stores keys, and returns how many it has stored
   * @returns undefined where the backup or the deletion is gone
   */
  mergePage(
    userId: string,
    version: number,
    deletion: KeptDeletion & { rooms: Rooms },
    after: KeyPosition,
    merge: (backup: LockedBackup, keys: readonly KeyOfDevice[]) => Promise<number>,
  ): Promise<{ merged: number; last: KeyPosition | undefined } | undefined> {
    const { keySetId, roomNo, rooms, largestKey } = deletion;
    const limit = rowsPerPage(ROWS_PER_PAGE, BYTES_PER_PAGE, largestKey);
    return this.database.change(userId, async (connection) => {
      const traces = { history: this.history };
      const user = await lockUser(connection, this.database, userId, version, traces);
      const { backup } = user;
      if (!backup || !(await this.keep(connection, deletion))) return undefined;
      const page =
        roomNo === WHOLE_SET
          ? await new KeySetPages(this.database, keySetId, rooms, KEY_COLUMNS).page(
              queryOf(connection),
              after,
              limit,
            )
          : await this.pageOfRoom(connection, deletion, after, limit);
      const keys = page.map((row) => asKeyOfDevice(row, roomOf(Number(row.room_no), rooms)));
      const merged = await merge(backup, keys);
      if (merged > 0) await backup.touch();
      const last = page.at(-1);
      const isEnd = !last || page.length < limit;
      if (isEnd) {
        await this.release(connection, deletion);
        await user.remember({ what: 'restored', deviceId: undefined });
      }
      return { merged, last: isEnd ? undefined : positionOf(last) };
    });
  }

  private pageOfRoom(
    connection: Connection,
    { keySetId, roomNo }: KeptDeletion,
    { seq }: KeyPosition,
    limit: number,
  ): Promise<Row[]> {
    return connection.rows(
      `SELECT room_no, seq, ${KEY_COLUMNS} FROM ${this.database.tables.keys}
       WHERE key_set_id = ? AND room_no = ? AND seq > ? ORDER BY seq LIMIT ${limit}`,
      [keySetId, roomNo, seq],
    );
  }

  /** 1 statement, 2 where the keys are due soon: nothing removes them until the transaction ends, nor soon after it. */
  private async keep(connection: Connection, { keySetId, roomNo }: KeptDeletion): Promise<boolean> {
    const { dialect, tables } = this.database;
    const mark = this.markOf(keySetId, roomNo);
    const [found] = await connection.rows(
      `SELECT m.retired_at - ${dialect.now} AS left_ms FROM ${mark.table} m
       JOIN ${tables.deleted} d ON d.key_set_id = m.key_set_id AND d.room_no = ${roomNo}
       WHERE m.${mark.where.join(' AND m.')} AND m.retired_at > ${dialect.now}${dialect.forUpdate}`,
      mark.which,
    );
    if (!found) return false;
    if (Number(found.left_ms) < LEASE_MS / 2) {
      await this.setRetiredAt(connection, mark, `${dialect.now} + ${LEASE_MS}`);
    }
    return true;
  }

  /** 2 statements: the rows of the deletion are not needed any more. */
  private async release(connection: Connection, { keySetId, roomNo }: KeptDeletion): Promise<void> {
    const { dialect, tables } = this.database;
    await this.setRetiredAt(connection, this.markOf(keySetId, roomNo), dialect.now);
    await connection.execute(`DELETE FROM ${tables.deleted} WHERE key_set_id = ? AND room_no = ?`, [
      keySetId,
      roomNo,
    ]);
  }

  private async setRetiredAt(connection: Connection, mark: Mark, value: string): Promise<void> {
    await connection.execute(
      `UPDATE ${mark.table} SET retired_at = ${value} WHERE ${mark.where.join(' AND ')}`,
      mark.which,
    );
  }

  /** The row with the time at which the keys will be removed. */
  private markOf(keySetId: number, roomNo: number): Mark {
    const { keySets, retiredRooms } = this.database.tables;
    if (roomNo === WHOLE_SET)
      return { table: keySets, where: ['key_set_id = ?'], which: [keySetId] };
    return {
      table: retiredRooms,
      where: ['key_set_id = ?', 'room_no = ?'],
      which: [keySetId, roomNo],
    };
  }
}

interface Mark {
  table: string;
  where: string[];
  which: number[];
}
