/** The SQL of the history of backups: see `HistoryEntryEntity`. */
import type { DataSource } from 'typeorm';
import type { RoomKeysBackupChange, RoomKeysHistoryEntry } from '../room-keys.events.js';
import { DAY_MS } from '../room-keys-options.interface.js';
import type { Connection } from './database/connection.js';
import { Database, THE_SERVER } from './database/database.js';
import { asOfNow } from './database/dialect.js';
import type { Storage } from './key-rows.js';
import { bytes, numberOrUndefined, text, textOrUndefined } from './rows.js';

/** Entries that are kept of a user. */
const MOST_ENTRIES = 1000;

/** A change as it is written; when it happened, and what it made the current backup, the database knows. */
export interface NewEntry {
  what: RoomKeysBackupChange;
  deviceId?: string | null | undefined;
  version?: number | undefined;
  currentBefore?: number | undefined;
  count: number;
  etag?: number | undefined;
}

/** Writes the history, in the transaction of the change, which has locked the user. */
export class BackupHistory {
  /** @returns undefined without a history */
  static for(storage: Storage, historyDays: number): BackupHistory | undefined {
    return historyDays > 0 ? new BackupHistory(storage) : undefined;
  }

  constructor(private readonly storage: Storage) {}

  /** 2 statements, 3 for a user with 1,000 entries, of which the oldest one goes. */
  async write(connection: Connection, user: Buffer, entry: NewEntry): Promise<void> {
    const { dialect, tables } = this.storage;
    const [owner] = await connection.rows(
      `SELECT u.current_version, h.entry_no FROM ${tables.users} u
       LEFT JOIN ${tables.history} h ON h.user_id = u.user_id
       WHERE u.user_id = ? ORDER BY h.entry_no DESC LIMIT 1${asOfNow(connection, dialect)}`,
      [user],
    );
    const entryNo = Number(owner?.entry_no ?? 0) + 1;
    const { what, deviceId, version, currentBefore, count, etag } = entry;
    await connection.defer(
      `INSERT INTO ${tables.history} (user_id, entry_no, happened_at, what, device_id, version,
         current_before, current_after, key_count, etag) VALUES (?, ?, ${dialect.now}, ?, ?, ?, ?, ?, ?, ?)`,
      [
        user,
        entryNo,
        bytes(what),
        deviceId ? bytes(deviceId) : null,
        version ?? null,
        currentBefore ?? null,
        numberOrUndefined(owner?.current_version) ?? null,
        count,
        etag ?? null,
      ],
    );
    if (entryNo <= MOST_ENTRIES) return;
    await connection.defer(`DELETE FROM ${tables.history} WHERE user_id = ? AND entry_no <= ?`, [
      user,
      entryNo - MOST_ENTRIES,
    ]);
  }

  /**
   * 1 statement: deletes the history of a user.
   *
   * @param everything also that the user was erased before
   * @returns whether there was a history
   */
  async forget(connection: Connection, user: Buffer, everything: boolean): Promise<boolean> {
    const { affected } = await connection.execute(
      `DELETE FROM ${this.storage.tables.history} WHERE user_id = ?${everything ? '' : ' AND what <> ?'}`,
      everything ? [user] : [user, bytes('erased')],
    );
    return affected > 0;
  }
}

/** Reads the history, and removes old entries. */
export class HistoryRepository {
  private readonly database: Database;

  constructor(dataSource: DataSource) {
    this.database = Database.of(dataSource);
  }

  /** 1 statement, no lock: of one user, oldest first. */
  async entries(userId: string): Promise<RoomKeysHistoryEntry[]> {
    const rows = await this.database.rows(
      THE_SERVER,
      `SELECT happened_at, what, device_id, version, current_before, current_after, key_count, etag
       FROM ${this.database.tables.history} WHERE user_id = ? ORDER BY entry_no`,
      [bytes(userId)],
    );
    const id = (value: unknown) => numberOrUndefined(value)?.toString();
    return rows.map((row) => ({
      at: new Date(Number(row.happened_at)),
      what: text(row.what) as RoomKeysBackupChange,
      deviceId: textOrUndefined(row.device_id),
      version: id(row.version),
      currentBefore: id(row.current_before),
      currentAfter: id(row.current_after),
      count: Number(row.key_count),
      etag: id(row.etag),
    }));
  }

  /**
   * 1 statement, 4 where there is something to remove: removes up to `limit` entries that are older than so many days,
   * and those of the same millisecond.
   *
   * @returns whether there may be more
   */
  async trim(days: number, limit: number): Promise<boolean> {
    const { dialect, tables } = this.database;
    const old = `happened_at <= ${dialect.now} - ${Math.trunc(days * DAY_MS)}`;
    const found = await this.database.rows(
      THE_SERVER,
      `SELECT happened_at FROM ${tables.history} WHERE ${old} ORDER BY happened_at LIMIT ${limit}`,
    );
    const newest = found.at(-1);
    if (!newest) return false;
    await this.database.change(THE_SERVER, (connection) =>
      connection.execute(`DELETE FROM ${tables.history} WHERE happened_at <= ?`, [
        Number(newest.happened_at),
      ]),
    );
    return found.length === limit;
  }
}
