/** THE SQL of requests: what is read, and the transactions. What is written under the user's lock is in locked-backup.ts. */
import type { DataSource } from 'typeorm';
import type {
  Activity,
  Backup,
  BackupInformation,
  KeyId,
  KeySelection,
  RoomKey,
} from '../room-key.js';
import type { Connection, SqlValue } from './database/connection.js';
import { type Conflict, Database } from './database/database.js';
import type { Joining } from './database/host-transaction.js';
import { retentionOf } from '../room-keys-options.interface.js';
import { bytes, text, versionNumber } from './rows.js';
import type { KeyPages } from './key-pages.js';
import { deleteBackups, type Erased, insertBackup } from './backup-rows.js';
import { BackupHistory } from './backup-history.js';
import { KeptDeletions } from './kept-deletions.js';
import { type LockedUser, lockUser, type Traces } from './locked-user.js';
import { openKeyPages, readKey } from './restore.js';
import { readForUpload, type UploadSnapshot } from './stored-ranks.js';

/** No database takes less than that in one value. */
const SMALL_VALUE = 256 * 1024;

/**
 * Reads and writes the tables. Each method's doc opens with what it costs on MySQL, the
 * BEGIN and COMMIT of a transaction included, and with what it locks.
 *
 * @internal
 */
export class RoomKeysRepository {
  private readonly database: Database;
  private readonly traces: Traces;

  /**
   * @param onConflict called with each transaction that the database gave up; it must not throw
   * @param retention what changes leave beside themselves
   */
  constructor(
    dataSource: DataSource,
    private readonly onConflict?: (conflict: Conflict) => void,
    retention: Parameters<typeof retentionOf>[0] = {},
  ) {
    this.database = Database.of(dataSource);
    const { keepDeletedDays, historyDays } = retentionOf(retention);
    this.traces = {
      kept: keepDeletedDays > 0 ? new KeptDeletions(this.database, keepDeletedDays) : undefined,
      history: historyDays > 0 ? new BackupHistory(this.database) : undefined,
    };
  }

  /** None, or where a value is large, none but a connection: whether the database takes a JSON text. */
  async fits(userId: string, json: string): Promise<boolean> {
    if (json.length <= SMALL_VALUE) return true;
    const most = await this.database.read(userId, ({ textLimits }) =>
      Promise.resolve(textLimits.perValue),
    );
    return json.length <= most;
  }

  /**
   * 6 statements, 7 with `check`, 1 more where the user has a backup, and 2 for the history; locks the user. The user's
   * row is made or counted up first, so two of these for one user are given different versions.
   *
   * @param check called with how many backups the user has; may throw
   */
  createBackup(
    userId: string,
    information: BackupInformation,
    check?: (backupCount: number) => void,
    deviceId?: string | null,
  ): Promise<string> {
    const { history } = this.traces;
    return this.change(userId, async (connection) => {
      const user = bytes(userId);
      const made = await insertBackup(connection, this.database, user, information, check);
      const { version, former: currentBefore } = made;
      const entry = { deviceId, version, currentBefore, count: 0, etag: 0 };
      await history?.write(connection, user, { what: 'created', ...entry });
      return String(version);
    });
  }

  /** 1 statement, no lock: the newest backup that is not deleted. */
  async currentBackup(userId: string): Promise<Backup | undefined> {
    const { users, backups } = this.database.tables;
    return this.readBackup(
      userId,
      `SELECT ${backupColumns} FROM ${users} u
       JOIN ${backups} b ON b.user_id = u.user_id AND b.version = u.current_version
       WHERE u.user_id = ?`,
      [bytes(userId)],
    );
  }

  /** 1 statement, no lock. */
  async backup(userId: string, version: string): Promise<Backup | undefined> {
    const id = versionNumber(version);
    if (id === undefined) return undefined;
    return this.readBackup(
      userId,
      `SELECT ${backupColumns} FROM ${this.database.tables.backups} b WHERE b.user_id = ? AND b.version = ?`,
      [bytes(userId), id],
    );
  }

  /**
   * 1 statement, no lock; none for no keys, for more than one statement may hold, or while other changes of the
   * user are under way here: by its turn, the answer would be out of date.
   *
   * @returns undefined if the backup does not exist, or no statement was run
   */
  async readForUpload(
    userId: string,
    version: string,
    keys: readonly KeyId[],
  ): Promise<UploadSnapshot | undefined> {
    const id = versionNumber(version);
    const isOneStatement = keys.length > 0 && keys.length <= this.database.dialect.rowsPerStatement;
    if (id === undefined || !isOneStatement || this.database.isChanging(userId)) return undefined;
    return this.database.read(userId, (connection) =>
      readForUpload(connection, this.database, { userId, version: id }, keys),
    );
  }

  /**
   * 3 statements and those of `work`, 4 on PostgreSQL; locks the user, see {@link lockUser}. `work` runs again from
   * the start when the database gave up its transaction in favour of another.
   */
  locked<T>(
    userId: string,
    version: string,
    work: (user: LockedUser) => Promise<T>,
    joining?: Joining,
  ): Promise<T> {
    const id = versionNumber(version);
    return this.change(
      userId,
      async (connection) =>
        work(await lockUser(connection, this.database, userId, id, this.traces)),
      joining,
    );
  }

  /**
   * 1 statement, no lock.
   *
   * @returns undefined if the backup does not exist, null if the key does not
   */
  async key(userId: string, version: string, id: KeyId): Promise<RoomKey | null | undefined> {
    const versionId = versionNumber(version);
    if (versionId === undefined) return undefined;
    return this.database.read(userId, (connection) =>
      readKey(connection, this.database, userId, versionId, id),
    );
  }

  /**
   * 4 statements and 1 per page, no lock: all keys, or those of a room, in one consistent snapshot, one room
   * after the other, in pages that are small enough to be held in memory. See `Restores` for what becomes of
   * the snapshot when others wait.
   *
   * @returns undefined if the backup does not exist; the caller must close the pages
   */
  async keys(
    userId: string,
    version: string,
    selection: KeySelection,
  ): Promise<KeyPages | undefined> {
    const id = versionNumber(version);
    return id === undefined ? undefined : openKeyPages(this.database, userId, id, selection);
  }

  /**
   * 9 statements, 1 more where deletions could be undone, and 2 for the history, however many keys there are; locks
   * the user. Forgets all backups, what deletions kept and the history, and retires the keys. What stays is the number
   * of the last version, so that none is given out twice, and that the user was erased.
   */
  eraseUser(userId: string, joining?: Joining): Promise<Erased> {
    const work = async (connection: Connection) => {
      const user = bytes(userId);
      const erased = await deleteBackups(connection, this.database, user);
      const hadAny = erased.backups + erased.kept > 0;
      const hadHistory = await new BackupHistory(this.database).forget(connection, user, hadAny);
      if (hadAny || hadHistory) {
        await this.traces.history?.write(connection, user, { what: 'erased', count: erased.keys });
      }
      return erased;
    };
    return this.change(userId, work, joining);
  }

  /** No statement: see {@link Database.outsideOfHost}. */
  outsideOfHost(): Promise<void> {
    return this.database.outsideOfHost();
  }

  /**
   * 2 statements, no lock.
   *
   * @param timeoutMs how long the connection and the answer may each take, in milliseconds
   * @throws when the database does not answer, or takes no writes
   */
  async ping(timeoutMs: number): Promise<void> {
    const { dialect, tables } = this.database;
    await this.database.unqueued(async (connection) => {
      // a Galera node that takes no statements of anybody answers one without a table all the same
      await connection.rows(`SELECT 1 FROM ${tables.users} LIMIT 1`);
      await dialect.checkWritable(connection, tables);
    }, timeoutMs);
  }

  /** No statement: the state of this process. */
  activity(): Activity {
    return this.database.activity;
  }

  private change<T>(
    userId: string,
    work: (connection: Connection) => Promise<T>,
    joining?: Joining,
  ): Promise<T> {
    return joining
      ? this.database.joined(joining.transaction, work, joining.onCommit)
      : this.database.change(userId, work, this.onConflict);
  }

  private async readBackup(
    userId: string,
    sql: string,
    parameters: readonly SqlValue[],
  ): Promise<Backup | undefined> {
    const [row] = await this.database.rows(userId, sql, parameters);
    return (
      row && {
        version: String(Number(row.version)),
        algorithm: text(row.algorithm),
        authData: row.auth_data as string,
        count: Number(row.key_count),
        etag: String(Number(row.etag)),
      }
    );
  }
}

const backupColumns = 'b.version, b.algorithm, b.auth_data, b.etag, b.key_count';
