/** The SQL of removing what was deleted: rows that no reader sees any more. */
import type { DataSource } from 'typeorm';
import type { Connection } from './database/connection.js';
import { type Conflict, Database, THE_SERVER } from './database/database.js';
import type { DeletedKeys, KeyPosition } from './database/dialect.js';
import { numberOrUndefined } from './rows.js';

/** A key set, or one room of it, whose rows wait to be removed. */
export interface RetiredKeys {
  keySetId: number;
  /** Undefined for the whole set. */
  roomNo: number | undefined;
}

/** What waits to be removed. */
export interface Backlog {
  keySets: number;
  rooms: number;
  /** Milliseconds that the oldest of both has waited, by the clock of the database; 0 without any. */
  oldestMs: number;
}

/**
 * Removes rows that no reader sees, a few at a time. Whether they may go is decided by the clock of the database
 * alone, and once more under a lock.
 */
export class RetiredKeysRepository {
  private readonly database: Database;

  /** @param onConflict called with each transaction that the database gave up; it must not throw */
  constructor(
    dataSource: DataSource,
    private readonly onConflict?: (conflict: Conflict) => void,
  ) {
    this.database = Database.of(dataSource);
  }

  /** 1 statement, no lock: some of what waits to be removed, what was retired first at the front. */
  async retired(limit: number): Promise<RetiredKeys[]> {
    const { dialect, tables } = this.database;
    const oldest = (table: string, roomNo: string, alias: string) =>
      `SELECT key_set_id, ${roomNo} AS room_no, retired_at FROM (SELECT * FROM ${table}
         WHERE retired_at <= ${dialect.now} ORDER BY retired_at, key_set_id LIMIT ${limit}) ${alias}`;
    const found = await this.database.read(THE_SERVER, (connection) =>
      connection.rows(
        `${oldest(tables.keySets, 'NULL', 'sets')} UNION ALL ${oldest(tables.retiredRooms, 'room_no', 'rooms')}
         ORDER BY retired_at, key_set_id LIMIT ${limit}`,
      ),
    );
    return found.map((row) => ({
      keySetId: Number(row.key_set_id),
      roomNo: numberOrUndefined(row.room_no),
    }));
  }

  /** 1 statement, no lock. */
  async backlog(): Promise<Backlog> {
    const { dialect, tables } = this.database;
    const [row] = await this.database.read(THE_SERVER, (connection) =>
      connection.rows(
        `SELECT s.count AS sets, r.count AS rooms, s.oldest AS oldest_set, r.oldest AS oldest_room, ${dialect.now} AS now
         FROM (SELECT COUNT(*) AS count, MIN(retired_at) AS oldest FROM ${tables.keySets}
           WHERE retired_at <= ${dialect.now}) s
         CROSS JOIN (SELECT COUNT(*) AS count, MIN(retired_at) AS oldest FROM ${tables.retiredRooms}
           WHERE retired_at <= ${dialect.now}) r`,
      ),
    );
    const now = Number(row?.now);
    const oldest = Math.min(
      numberOrUndefined(row?.oldest_set) ?? now,
      numberOrUndefined(row?.oldest_room) ?? now,
    );
    return { keySets: Number(row?.sets), rooms: Number(row?.rooms), oldestMs: now - oldest };
  }

  /**
   * 4 statements, 5 or 7 with the last rows; locks up to `limit` rows that no reader sees, and the row that says
   * so. Safe to run in several processes at once, and to be broken off at any point.
   *
   * @param after what the call before has returned as its last row: nothing comes into what is retired
   * @returns how many rows of keys it removed; where fewer than `limit`, nothing is left of it
   */
  remove(
    { keySetId, roomNo }: RetiredKeys,
    limit: number,
    after?: KeyPosition,
  ): Promise<DeletedKeys> {
    const { dialect, tables } = this.database;
    const room = roomNo === undefined ? '' : ' AND room_no = ?';
    const which = roomNo === undefined ? [keySetId] : [keySetId, roomNo];
    const marks = roomNo === undefined ? tables.keySets : tables.retiredRooms;
    const work = async (connection: Connection) => {
      // an import may have given the set to a backup since it was found, or put its removal off
      const [mark] = await connection.rows(
        `SELECT retired_at FROM ${marks} WHERE key_set_id = ?${room} AND retired_at <= ${dialect.now}${dialect.forUpdate}`,
        which,
      );
      if (!mark) return { rows: 0 };
      const deleted = await dialect.deleteSome(
        connection,
        { table: tables.keys, where: `key_set_id = ?${room}`, parameters: which },
        limit,
        after,
      );
      if (deleted.rows === limit) return deleted;
      if (roomNo === undefined) {
        for (const table of [tables.rooms, tables.retiredRooms]) {
          await connection.execute(`DELETE FROM ${table} WHERE key_set_id = ?`, which);
        }
      }
      await connection.execute(`DELETE FROM ${marks} WHERE key_set_id = ?${room}`, which);
      return deleted;
    };
    return this.database.change(THE_SERVER, work, this.onConflict);
  }
}
