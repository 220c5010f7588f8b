/** The SQL of undoing the deletion of a backup: see `DeletedKeysEntity`. */
import type { DataSource } from 'typeorm';
import { BackupHistory } from './backup-history.js';
import { supersede } from './backup-rows.js';
import type { Connection, Row } from './database/connection.js';
import { Database, THE_SERVER } from './database/database.js';
import { WHOLE_SET } from './kept-deletions.js';
import { lockUser } from './locked-user.js';
import { bytes } from './rows.js';

/** Where a backup is after it was reinstated. */
export interface Reinstated {
  version: number;
  currentVersion: number;
  /** Whether it was deleted before. */
  wasDeleted: boolean;
}

/** Makes deleted backups the user's again. */
export class DeletedBackupsRepository {
  private readonly database: Database;
  private readonly history: BackupHistory | undefined;

  constructor(dataSource: DataSource, historyDays: number) {
    this.database = Database.of(dataSource);
    this.history = BackupHistory.for(this.database, historyDays);
  }

  /**
   * 10 to 14 statements, however many keys there are; locks the user: makes a deleted backup one of the user's again,
   * under its version id or a new one. One that is there already only gets a new id, unless it is the current one.
   *
   * @returns undefined if the backup does not exist
   */
  reinstate(userId: string, version: number, asCurrent: boolean): Promise<Reinstated | undefined> {
    const { dialect, tables } = this.database;
    const user = bytes(userId);
    return this.database.change(userId, async (connection) => {
      const { backup, currentVersion } = await lockUser(connection, this.database, userId, version);
      const current = currentVersion === undefined ? undefined : Number(currentVersion);
      if (backup && (!asCurrent || current === version)) {
        return { version, currentVersion: Number(current), wasDeleted: false };
      }
      const [kept] = backup ? [] : await this.keptBackup(connection, user, version);
      if (!backup && !kept) return undefined;
      const from = backup
        ? { table: tables.backups, where: 'user_id = ? AND version = ?', which: [user, version] }
        : {
            table: tables.deleted,
            where: 'key_set_id = ? AND room_no = ?',
            which: [Number(kept?.key_set_id), WHOLE_SET],
          };
      const target = asCurrent ? await this.nextVersion(connection, user) : version;
      if (current !== undefined && target > current) {
        await supersede(connection, this.database, user, current);
      }
      await connection.execute(
        `INSERT INTO ${tables.backups} (user_id, version, key_set_id, algorithm, auth_data, etag, key_count,
           byte_count, largest_key, next_seq, created_at, changed_at)
         SELECT user_id, ${target}, key_set_id, algorithm, auth_data, etag + 1, key_count,
           byte_count, largest_key, next_seq, created_at, ${dialect.greatest('changed_at', dialect.now)}
         FROM ${from.table} WHERE ${from.where}`,
        from.which,
      );
      await connection.execute(`DELETE FROM ${from.table} WHERE ${from.where}`, from.which);
      if (kept) {
        await connection.execute(
          `UPDATE ${tables.keySets} SET retired_at = NULL WHERE key_set_id = ?`,
          [Number(kept.key_set_id)],
        );
      }
      if (target !== version) {
        // what was deleted of it goes with it
        await connection.execute(
          `UPDATE ${tables.deleted} SET version = ? WHERE user_id = ? AND version = ? AND kind <> ?`,
          [target, user, version, bytes('backup')],
        );
      }
      await connection.execute(
        `UPDATE ${tables.users} SET revision = revision + 1, current_version =
           (SELECT MAX(version) FROM ${tables.backups} WHERE user_id = ?) WHERE user_id = ?`,
        [user, user],
      );
      const [now] = await connection.rows(
        `SELECT b.etag, b.key_count, u.current_version FROM ${tables.backups} b
         JOIN ${tables.users} u ON u.user_id = b.user_id WHERE b.user_id = ? AND b.version = ?`,
        [user, target],
      );
      await this.history?.write(connection, user, {
        what: 'restored',
        version: target,
        currentBefore: current,
        count: Number(now?.key_count),
        etag: Number(now?.etag),
      });
      return {
        version: target,
        currentVersion: Number(now?.current_version),
        wasDeleted: kept !== undefined,
      };
    });
  }

  /** 1 statement, no lock: the keys that a backup has. */
  async count(userId: string, version: number): Promise<number> {
    const [row] = await this.database.rows(
      THE_SERVER,
      `SELECT key_count FROM ${this.database.tables.backups} WHERE user_id = ? AND version = ?`,
      [bytes(userId), version],
    );
    return Number(row?.key_count ?? 0);
  }

  /** 2 statements, on the user's row. */
  private async nextVersion(connection: Connection, user: Buffer): Promise<number> {
    const { users } = this.database.tables;
    await connection.execute(
      `UPDATE ${users} SET last_version = last_version + 1 WHERE user_id = ?`,
      [user],
    );
    const [row] = await connection.rows(`SELECT last_version FROM ${users} WHERE user_id = ?`, [
      user,
    ]);
    return Number(row?.last_version);
  }

  /** 1 statement: the key set of a deleted backup, which nothing removes until the transaction ends. */
  private keptBackup(connection: Connection, user: Buffer, version: number): Promise<Row[]> {
    const { dialect, tables } = this.database;
    return connection.rows(
      `SELECT d.key_set_id FROM ${tables.deleted} d JOIN ${tables.keySets} s ON s.key_set_id = d.key_set_id
       WHERE d.user_id = ? AND d.version = ? AND d.kind = ? AND s.retired_at > ${dialect.now}
       ORDER BY d.deleted_at DESC LIMIT 1${dialect.forUpdate}`,
      [user, version, bytes('backup')],
    );
  }
}
