/** The SQL of statistics for operators. */
import type { DataSource } from 'typeorm';
import type { BackupSummary, UserSummary } from '../room-key.js';
import type { Row, SqlValue } from './database/connection.js';
import { Database, THE_SERVER } from './database/database.js';
import { timeouts } from './database/timeouts.js';
import { RetiredKeysRepository } from './retired-keys.repository.js';
import { bytes, numberOrUndefined, text } from './rows.js';

/**
 * What is stored, of all users together.
 *
 * @publicApi
 */
export interface RoomKeysStatistics {
  /** Users who ever had a backup. */
  users: number;
  /** Users who have one now. */
  usersWithBackup: number;
  /** Backups that are not deleted. */
  backups: number;
  /** Keys in them. */
  keys: number;
  /** Bytes of all `session_data` in them. */
  bytes: number;
  /** What was deleted and waits to be removed. */
  waiting: {
    /** Key sets of deleted backups, and of backups whose keys were all deleted. */
    keySets: number;
    /** Deleted rooms of other key sets. */
    rooms: number;
    /** When the first of them was deleted, undefined without any. */
    since: Date | undefined;
  };
  /** Deletions that can be undone: see `keepDeletedDays`. */
  kept: {
    deletions: number;
    keys: number;
    /** When the first and the last of them are removed, undefined without any. */
    firstUntil: Date | undefined;
    lastUntil: Date | undefined;
  };
  /** Staged by an import that is running or was interrupted, and not attached to a user yet. */
  staged: {
    keySets: number;
    keys: number;
    /** When the last of them are removed, unless an import goes on with them; undefined without any. */
    until: Date | undefined;
  };
  /** The backups with the most keys, the largest one first. */
  largest: LargeBackup[];
}

/**
 * One of the largest backups.
 *
 * @publicApi
 */
export interface LargeBackup {
  userId: string;
  version: string;
  count: number;
  /** Bytes of its `session_data`. */
  bytes: number;
  changedAt: Date;
}

/**
 * How much is stored of a user.
 *
 * @publicApi
 */
export interface StoredUserCounts {
  userId: string;
  /** Backups that are not deleted. */
  backups: number;
  /** Keys in them. */
  keys: number;
  /** Deletions that can be undone: see `keepDeletedDays`. */
  kept: number;
}

/** Reads the stored data of one user, or of all. */
export class StatisticsRepository {
  private readonly database: Database;
  private readonly retired: RetiredKeysRepository;

  constructor(dataSource: DataSource) {
    this.database = Database.of(dataSource);
    this.retired = new RetiredKeysRepository(dataSource);
  }

  /** 3 statements and 1 per backup, which reads all of its keys; no lock. */
  async summary(userId: string): Promise<UserSummary> {
    const { users, imports } = this.database.tables;
    const backups = await this.backups(userId);
    const user = await this.read(`SELECT 1 AS found FROM ${users} WHERE user_id = ?`, [
      bytes(userId),
    ]);
    const reserved = await this.read(
      `SELECT version FROM ${imports} WHERE user_id = ? AND source_etag IS NULL ORDER BY version`,
      [bytes(userId)],
    );
    const dates = (of: 'createdAt' | 'changedAt') =>
      backups.map((backup) => backup[of]).sort((a, b) => a.getTime() - b.getTime());
    return {
      backups,
      isKnown: user.length > 0,
      versionsNotImported: reserved.map(({ version }) => String(Number(version))),
      count: backups.reduce((sum, { count }) => sum + count, 0),
      bytes: backups.reduce((sum, { bytes: size }) => sum + size, 0),
      firstChange: dates('createdAt').at(0),
      lastChange: dates('changedAt').at(-1),
    };
  }

  private async backups(userId: string): Promise<BackupSummary[]> {
    const { users, backups, keys, retiredRooms } = this.database.tables;
    const found = await this.read(
      `SELECT b.version, b.algorithm, b.etag, b.key_count, b.byte_count, b.created_at, b.changed_at,
         b.key_set_id, u.current_version
       FROM ${backups} b LEFT JOIN ${users} u ON u.user_id = b.user_id
       WHERE b.user_id = ? ORDER BY b.version`,
      [bytes(userId)],
    );
    const summaries: BackupSummary[] = [];
    for (const row of found) {
      const keySetId = Number(row.key_set_id);
      const devices = await this.read(
        `SELECT DISTINCT device_id FROM ${keys} WHERE key_set_id = ? AND device_id IS NOT NULL
           AND room_no NOT IN (SELECT room_no FROM ${retiredRooms} WHERE key_set_id = ?)`,
        [keySetId, keySetId],
      );
      summaries.push({
        version: String(Number(row.version)),
        isCurrent: numberOrUndefined(row.current_version) === Number(row.version),
        algorithm: text(row.algorithm),
        count: Number(row.key_count),
        etag: String(Number(row.etag)),
        bytes: Number(row.byte_count),
        createdAt: new Date(Number(row.created_at)),
        changedAt: new Date(Number(row.changed_at)),
        devices: devices.map((device) => text(device.device_id)),
      });
    }
    return summaries;
  }

  /** 4 statements, 5 where an import is under way or broke off, of which 3 read all rows of users and backups; no lock. */
  async statistics(largest: number): Promise<RoomKeysStatistics> {
    const { users, backups } = this.database.tables;
    const [user] = await this.read(`SELECT COUNT(*) AS count FROM ${users}`);
    const [sum] = await this.read(
      `SELECT COUNT(*) AS backups, COUNT(DISTINCT user_id) AS users, SUM(key_count) AS count,
         SUM(byte_count) AS bytes FROM ${backups}`,
    );
    const top = await this.read(
      `SELECT user_id, version, key_count, byte_count, changed_at FROM ${backups}
       ORDER BY key_count DESC, user_id, version LIMIT ${Math.max(0, Math.trunc(largest))}`,
    );
    const { keySets, rooms, oldestMs, kept, staged } = await this.retired.backlog();
    const stagedKeys = staged.count === 0 ? 0 : await this.retired.stagedKeys();
    return {
      users: Number(user?.count),
      usersWithBackup: Number(sum?.users),
      backups: Number(sum?.backups),
      keys: Number(sum?.count ?? 0),
      bytes: Number(sum?.bytes ?? 0),
      waiting: {
        keySets,
        rooms,
        since: keySets + rooms === 0 ? undefined : new Date(Date.now() - oldestMs),
      },
      kept: {
        deletions: kept.count,
        keys: kept.keys,
        firstUntil: inMs(kept.firstInMs),
        lastUntil: inMs(kept.lastInMs),
      },
      staged: { keySets: staged.count, keys: stagedKeys, until: inMs(staged.lastInMs) },
      largest: top.map((row) => ({
        userId: text(row.user_id),
        version: String(Number(row.version)),
        count: Number(row.key_count),
        bytes: Number(row.byte_count),
        changedAt: new Date(Number(row.changed_at)),
      })),
    };
  }

  /** 1 statement per page, no lock: users who have backups, or deletions that can be undone, in the order of their ids. */
  async *storedUsers(usersPerPage: number): AsyncGenerator<StoredUserCounts[]> {
    const { backups, deleted } = this.database.tables;
    const page = `WHERE user_id > ? GROUP BY user_id ORDER BY user_id LIMIT ${usersPerPage}`;
    for (let after: string | undefined = ''; ;) {
      const found: Row[] = await this.read(
        `SELECT user_id, SUM(backups) AS backups, SUM(keys_stored) AS keys_stored, SUM(kept) AS kept FROM (
           SELECT * FROM (SELECT user_id, COUNT(*) AS backups, SUM(key_count) AS keys_stored, 0 AS kept
             FROM ${backups} ${page}) b
           UNION ALL
           SELECT * FROM (SELECT user_id, 0 AS backups, 0 AS keys_stored, COUNT(*) AS kept
             FROM ${deleted} ${page}) d
         ) s GROUP BY user_id ORDER BY user_id LIMIT ${usersPerPage}`,
        [bytes(after), bytes(after)],
      );
      const users = found.map((row) => ({
        userId: text(row.user_id),
        backups: Number(row.backups),
        keys: Number(row.keys_stored),
        kept: Number(row.kept),
      }));
      after = users.at(-1)?.userId;
      if (after === undefined) return;
      yield users;
    }
  }

  private read(sql: string, parameters?: readonly SqlValue[]): Promise<Row[]> {
    return this.database.rows(THE_SERVER, sql, parameters, timeouts.operatorMs);
  }
}

const inMs = (ms: number | undefined) => (ms === undefined ? undefined : new Date(Date.now() + ms));
