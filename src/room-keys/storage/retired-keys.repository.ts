/** The SQL of removing what was deleted: rows that no reader sees any more. */
import type { DataSource } from 'typeorm';
import type { Connection } from './database/connection.js';
import { type Conflict, Database, THE_SERVER } from './database/database.js';
import type { DeletedKeys, KeyPosition } from './database/dialect.js';
import { timeouts } from './database/timeouts.js';
import { WHOLE_SET } from './kept-deletions.js';
import { numberOrUndefined } from './rows.js';

/** A key set, or one room of it, whose rows wait to be removed. */
export interface RetiredKeys {
  keySetId: number;
  /** Undefined for the whole set. */
  roomNo: number | undefined;
}

/** Rows per transaction: few enough that no other user notices the locks and the log it writes. */
export const ROWS_PER_STEP = 500;
const ENTRIES_PER_LOOK = 10;

/** A transaction of {@link RetiredKeysRepository.removeAll}. */
export interface RemovalStep {
  /** Rows of keys that it removed. */
  rows: number;
  /** What is completely removed with it; undefined in between. */
  completed: 'key set' | 'room' | undefined;
}

/** What waits to be removed. */
export interface Backlog {
  keySets: number;
  rooms: number;
  /** Milliseconds that the oldest of both has waited, by the clock of the database; 0 without any. */
  oldestMs: number;
  /** Deletions that can be undone, and their keys. Those that come first stay for so many milliseconds more. */
  kept: Waiting;
  /** Key sets of running or interrupted imports, and their keys as far as they were counted. */
  staged: Waiting;
}

export interface Waiting {
  count: number;
  keys: number;
  firstInMs: number | undefined;
  lastInMs: number | undefined;
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

  /** Removes all that waits, in steps small enough to disturb no request; it may be left after each. */
  async *removeAll(): AsyncGenerator<RemovalStep> {
    for (;;) {
      const retired = await this.retired(ENTRIES_PER_LOOK);
      if (retired.length === 0) return;
      for (const entry of retired) {
        for (let after: KeyPosition | undefined, isLast = false; !isLast;) {
          const { rows, last } = await this.remove(entry, ROWS_PER_STEP, after);
          isLast = rows < ROWS_PER_STEP;
          after = last;
          const kind = entry.roomNo === undefined ? 'key set' : 'room';
          yield { rows, completed: isLast ? kind : undefined };
        }
      }
    }
  }

  /** 1 statement, no lock: some of what waits to be removed, what was retired first at the front. */
  async retired(limit: number): Promise<RetiredKeys[]> {
    const { dialect, tables } = this.database;
    const oldest = (table: string, roomNo: string, alias: string) =>
      `SELECT key_set_id, ${roomNo} AS room_no, retired_at FROM (SELECT * FROM ${table}
         WHERE retired_at <= ${dialect.now} ORDER BY retired_at, key_set_id LIMIT ${limit}) ${alias}`;
    const found = await this.database.rows(
      THE_SERVER,
      `${oldest(tables.keySets, 'NULL', 'sets')} UNION ALL ${oldest(tables.retiredRooms, 'room_no', 'rooms')}
       ORDER BY retired_at, key_set_id LIMIT ${limit}`,
    );
    return found.map((row) => ({
      keySetId: Number(row.key_set_id),
      roomNo: numberOrUndefined(row.room_no),
    }));
  }

  /** 1 statement, no lock: it goes through all that waits. */
  async backlog(): Promise<Backlog> {
    const { dialect, tables } = this.database;
    const marks = `SELECT key_set_id, ${WHOLE_SET} AS room_no, retired_at FROM ${tables.keySets}
         WHERE retired_at IS NOT NULL
       UNION ALL SELECT key_set_id, room_no, retired_at FROM ${tables.retiredRooms}`;
    const rows = await this.database.rows(
      THE_SERVER,
      `SELECT kind, COUNT(*) AS count, SUM(key_count) AS key_count, MIN(retired_at) AS first_at,
         MAX(retired_at) AS last_at, MAX(now_at) AS now_at
       FROM (SELECT m.retired_at, d.key_count, ${dialect.now} AS now_at, CASE
           WHEN m.retired_at <= ${dialect.now} THEN CASE WHEN m.room_no = ${WHOLE_SET} THEN 'set' ELSE 'room' END
           WHEN d.key_set_id IS NOT NULL THEN 'kept'
           WHEN m.room_no = ${WHOLE_SET} THEN 'staged' ELSE 'kept' END AS kind
         FROM (${marks}) m
         LEFT JOIN ${tables.deleted} d ON d.key_set_id = m.key_set_id AND d.room_no = m.room_no) waiting
       GROUP BY kind`,
    );
    const of = (kind: string) => rows.find((row) => String(row.kind) === kind);
    const waiting = (kind: string): Waiting => {
      const row = of(kind);
      const inMs = (at: unknown) => (row ? Number(at) - Number(row.now_at) : undefined);
      return {
        count: Number(row?.count ?? 0),
        keys: Number(row?.key_count ?? 0),
        firstInMs: inMs(row?.first_at),
        lastInMs: inMs(row?.last_at),
      };
    };
    const [sets, rooms] = [waiting('set'), waiting('room')];
    return {
      keySets: sets.count,
      rooms: rooms.count,
      oldestMs: Math.max(0, -(sets.firstInMs ?? 0), -(rooms.firstInMs ?? 0)),
      kept: waiting('kept'),
      staged: waiting('staged'),
    };
  }

  /** 1 statement, no lock: the keys that {@link Backlog.staged} is about, which are counted one by one. */
  async stagedKeys(): Promise<number> {
    const { dialect, tables } = this.database;
    const [row] = await this.database.rows(
      THE_SERVER,
      `SELECT COUNT(*) AS count FROM ${tables.keySets} s JOIN ${tables.keys} k ON k.key_set_id = s.key_set_id
       LEFT JOIN ${tables.deleted} d ON d.key_set_id = s.key_set_id AND d.room_no = ${WHOLE_SET}
       WHERE s.retired_at > ${dialect.now} AND d.key_set_id IS NULL`,
      [],
      timeouts.operatorMs,
    );
    return Number(row?.count);
  }

  /**
   * 1 statement, and 4 per key set; locks it: has those removed that belong to no backup, because an import was interrupted.
   * One that goes on fails at its next step. What deletions keep stays.
   */
  async retireStaged(): Promise<void> {
    const { dialect, tables } = this.database;
    const waits = `SELECT s.key_set_id FROM ${tables.keySets} s WHERE s.retired_at > ${dialect.now}`;
    const found = await this.database.rows(THE_SERVER, waits);
    for (const { key_set_id: id } of found) {
      const which = [Number(id)];
      await this.database.change(THE_SERVER, async (connection) => {
        const [mark] = await connection.rows(
          `${waits} AND s.key_set_id = ?${dialect.forUpdate}`,
          which,
        );
        // after the lock, by which it is known as it is now
        const [kept] = await connection.rows(
          `SELECT key_set_id FROM ${tables.deleted} WHERE key_set_id = ? AND room_no = ${WHOLE_SET}${dialect.forUpdate}`,
          which,
        );
        if (!mark || kept) return;
        await connection.execute(
          `UPDATE ${tables.keySets} SET retired_at = ${dialect.now} WHERE key_set_id = ?`,
          which,
        );
      });
    }
  }

  /**
   * 4 statements, 5 or 7 with the last rows, 1 more of a deletion that could be undone until now; locks up to `limit` rows that no reader sees, and the row that says
   * so. Safe to run in several processes at once, and to be broken off at any point.
   *
   * @param after the last row of the previous call: nothing is added to a retired key set
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
        `SELECT retired_at, (SELECT COUNT(*) FROM ${tables.deleted} d WHERE d.key_set_id = m.key_set_id) AS kept
         FROM ${marks} m WHERE key_set_id = ?${room} AND retired_at <= ${dialect.now}${dialect.forUpdate}`,
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
      if (Number(mark.kept) > 0) {
        await connection.execute(
          `DELETE FROM ${tables.deleted} WHERE key_set_id = ?${room}`,
          which,
        );
      }
      return deleted;
    };
    return this.database.change(THE_SERVER, work, this.onConflict);
  }
}
