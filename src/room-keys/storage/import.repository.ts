/** The SQL of imports: key sets that no backup has yet, and backups that are compared with those of a source. */
import type { DataSource } from 'typeorm';
import type { KeyId, KeyRank } from '../room-key.js';
import { BackupHistory } from './backup-history.js';
import { type FilledBackup, insertFilledBackup, supersede } from './backup-rows.js';
import type { Connection } from './database/connection.js';
import { Database, THE_SERVER } from './database/database.js';
import { asRank, bytes, chunks, hex, idHash, text } from './rows.js';
import { type ImportRecord, ImportRecords } from './import-records.js';
import { type Query, queryOf } from './key-set-pages.js';
import type { Storage } from './key-rows.js';
import type { LockedBackup } from './locked-backup.js';
import { lockUser } from './locked-user.js';
import { StagedKeySet } from './staged-key-set.js';
import { FoundKeys } from './stored-ranks.js';
import { readStoredUsers, type StoredUser } from './stored-users.js';

/** A key as it is stored under the ids of another. */
export type StoredKey = KeyRank & { sessionData: string };

/** A backup to be made of a staged key set. */
export interface StagedBackup extends FilledBackup {
  keys: StagedKeySet;
  record: ImportRecord;
}

/** What an import adds to a user. */
export interface Additions {
  /** Versions up to this one are not given out any more. */
  lastVersion: number;
  /** All reserved versions of the user. */
  reserved: readonly number[];
  backups: readonly StagedBackup[];
}

/** A backup that no other transaction can change until this one ends. */
export interface LockedTarget {
  backup: LockedBackup;
  /** 1 statement. */
  authData(): Promise<string>;
  /** 1 statement per 500 keys: see {@link ImportRepository.stored}. */
  stored(keys: readonly KeyId[]): Promise<(StoredKey | undefined)[]>;
  /** 1 statement. */
  writeRecord(record: ImportRecord): Promise<void>;
  /** 2 statements, none without a history. */
  remember(what: 'imported' | 'deleted'): Promise<void>;
}

/** A client has changed the user's backups since it was decided what to do: decide again. */
export class ConcurrentChangeError extends Error {
  override message = "The user's backups were changed at the same time.";
}

/** Reads and writes on behalf of imports. */
export class ImportRepository {
  private readonly database: Database;
  private readonly records: ImportRecords;
  private readonly history: BackupHistory | undefined;

  constructor(dataSource: DataSource, historyDays = 0) {
    this.database = Database.of(dataSource);
    this.history = BackupHistory.for(this.database, historyDays);
    this.records = new ImportRecords(this.database);
  }

  /** 3 statements, no lock: those of the users who ever had a backup here. */
  users(userIds: readonly string[]): Promise<Map<string, StoredUser>> {
    return this.database.read(THE_SERVER, (connection) =>
      readStoredUsers(queryOf(connection), this.database, userIds.map(bytes)),
    );
  }

  /** 3 statements: a key set that belongs to no backup yet, so that no request reads it. */
  stage(): Promise<StagedKeySet> {
    return StagedKeySet.create(this.database);
  }

  /**
   * 7 statements, 8 where a newer backup becomes the current one, 4 or 5 per backup and 2 for its history, and those that change which
   * versions are reserved; locks the user. The backups are all visible at once.
   *
   * @param isStillRight whether the additions are right for the user as it is now
   * @throws ConcurrentChangeError where they are not
   */
  attach(
    userId: string,
    { lastVersion, reserved, backups: added }: Additions,
    isStillRight: (now: StoredUser) => boolean,
  ): Promise<void> {
    const { dialect, tables } = this.database;
    const { users, backups } = tables;
    const user = bytes(userId);
    return this.database.change(userId, async (connection) => {
      // comes first, as in every change: it takes the lock
      await connection.execute(
        `INSERT INTO ${users} (user_id, last_version, current_version) VALUES (?, 0, NULL)
         ${dialect.onConflict('user_id')} last_version = ${users}.last_version`,
        [user],
      );
      const query: Query = (sql, parameters) =>
        connection.rows(sql + dialect.forUpdate, parameters);
      const now = (await readStoredUsers(query, this.database, [user])).get(userId);
      if (!now || !isStillRight(now)) throw new ConcurrentChangeError();
      await this.records.reserve(connection, user, now.reserved, reserved);
      for (const one of added) {
        await one.keys.release(connection);
        await insertFilledBackup(connection, this.database, user, one);
        await this.records.write(connection, user, one.version, one.record);
      }
      const current = now.currentVersion ?? Infinity;
      if (added.some(({ version }) => version > current)) {
        await supersede(connection, this.database, user, now.currentVersion);
      }
      await connection.execute(
        `UPDATE ${users} SET revision = revision + 1, last_version = ?, current_version =
           (SELECT MAX(version) FROM ${backups} WHERE user_id = ?) WHERE user_id = ?`,
        [Math.max(now.lastVersion, lastVersion), user, user],
      );
      for (const { version, keys, etag } of added) {
        await this.history?.write(connection, user, {
          what: 'imported',
          version,
          currentBefore: now.currentVersion,
          count: keys.keyCount,
          etag,
        });
      }
    });
  }

  /**
   * 3 statements and those of `work`, 4 on PostgreSQL; locks the user: see {@link lockUser}. `work` runs again from
   * the start when the database gave up its transaction in favour of another.
   *
   * @param work called with undefined if the backup does not exist
   */
  locked<T>(
    userId: string,
    version: number,
    work: (target: LockedTarget | undefined) => Promise<T>,
  ): Promise<T> {
    const { tables } = this.database;
    const user = bytes(userId);
    return this.database.change(userId, async (connection) => {
      const traces = { history: this.history };
      const owner = await lockUser(connection, this.database, userId, version, traces);
      const { backup } = owner;
      if (!backup) return work(undefined);
      return work({
        backup,
        authData: async () => {
          const [row] = await connection.rows(
            `SELECT auth_data FROM ${tables.backups} WHERE user_id = ? AND version = ?`,
            [user, version],
          );
          return row?.auth_data as string;
        },
        stored: (keys) => findStored(connection, this.database, user, version, keys),
        remember: (what) => owner.remember({ what, deviceId: undefined }),
        writeRecord: (record) => this.records.write(connection, user, version, record),
      });
    });
  }

  /** 1 statement per 500 keys, no lock: what a backup has under the ids of keys, undefined where nothing. */
  stored(
    userId: string,
    version: number,
    keys: readonly KeyId[],
  ): Promise<(StoredKey | undefined)[]> {
    return this.database.read(THE_SERVER, (connection) =>
      findStored(connection, this.database, bytes(userId), version, keys),
    );
  }
}

async function findStored(
  connection: Connection,
  { dialect, tables }: Storage,
  user: Buffer,
  version: number,
  keys: readonly KeyId[],
): Promise<(StoredKey | undefined)[]> {
  const hashes = new Map<KeyId, string>(keys.map((key) => [key, idHash(key)]));
  const found = new FoundKeys<StoredKey>();
  for (const some of chunks([...hashes], dialect.rowsPerStatement)) {
    const roomIds = [...new Set(some.map(([{ roomId }]) => roomId))];
    const values = dialect.values();
    const backup = () =>
      `b.user_id = ${values.hex(user.toString('hex'))} AND b.version = ${values.integer(version)}`;
    const rows = await connection.rows(
      `SELECT k.id_hash AS id, k.room_no, k.first_message_index, k.forwarded_count, k.is_verified, k.session_data
       FROM ${tables.backups} b JOIN ${tables.keys} k ON k.key_set_id = b.key_set_id
       WHERE ${backup()} AND k.id_hash IN (${some.map(([, hash]) => values.hex(hash)).join()})
       UNION ALL SELECT r.room_id, r.room_no, NULL, NULL, NULL, NULL
       FROM ${tables.backups} b JOIN ${tables.rooms} r ON r.key_set_id = b.key_set_id
       WHERE ${backup()} AND r.room_id IN (${roomIds.map((id) => values.bytesOf(id)).join()})`,
      values.parameters,
    );
    for (const row of rows) {
      const roomNo = Number(row.room_no);
      if (row.session_data === null) found.roomNumbers.set(text(row.id), roomNo);
      else
        found.add(hex(row.id), roomNo, { ...asRank(row), sessionData: row.session_data as string });
    }
  }
  return Array.from(hashes, ([key, hash]) => found.get(hash, key));
}
