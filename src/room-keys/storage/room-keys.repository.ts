/** THE SQL: what is read, and the transactions. What is written under the user's lock is in locked-backup.ts. */
import type { DataSource, QueryRunner } from 'typeorm';
import type {
  Activity,
  Backup,
  BackupInformation,
  BackupSummary,
  KeyId,
  KeySelection,
  RoomKey,
} from '../room-key.js';
import type { RoomKeysStatistics } from '../statistics.js';
import { patience } from './borrowed-connection.js';
import { type DatabaseFamily, familyOf } from './database-family.js';
import { idHash } from './id-hash.js';
import { KeyPages, type PageSource } from './key-pages.js';
import { openSnapshot, snapshotsOf } from './snapshot.js';
import { SqlValues } from './sql-values.js';
import { straightRunner } from './straight-runner.js';
import { type Conflict, Transactions } from './transactions.js';
import { insertKeySet, supersede } from './key-rows.js';
import { type Glance, LockedBackup, type StoredRank } from './locked-backup.js';
import {
  asKey,
  bytes,
  chunks,
  hex,
  inOrder,
  laterThan,
  numberOrUndefined,
  placeholders,
  roomOf,
  type Row,
  rows,
  rowsPerStatement,
  text,
} from './rows.js';
import { maxAllowedPacket, SMALL_VALUE, STATEMENT_MARGIN } from './packet-size.js';
import { tableNames, type Tables } from './tables.js';
import {
  newestBackup,
  newestWithheld,
  withheldText,
  withheldVersions,
} from './withheld-versions.js';

/** What {@link RoomKeysRepository.locked} finds. */
export interface LockedUser {
  /** The id of the user's newest backup that is not deleted; undefined also where an import could not take the newest. */
  currentVersion: string | undefined;
  /** Whether the version asked for was ever given to this user, deleted or not. */
  everExisted: boolean;
  /** The backup asked for, unless it is deleted or never existed. */
  backup: LockedBackup | undefined;
  /** Where an import could not take the version asked for: 1 statement, from which on it is deleted. */
  deleteWithheld: (() => Promise<void>) | undefined;
}

/**
 * Reads and writes the five tables. Each method's doc opens with what it costs on MySQL, the
 * BEGIN and COMMIT of a transaction included, and with what it locks.
 *
 * @internal
 */
export class RoomKeysRepository {
  private readonly family: DatabaseFamily;
  private readonly tables: Tables;
  private readonly transactions: Transactions;

  /** @param onConflict is told of each transaction that the database gave up; it must not throw */
  constructor(
    private readonly dataSource: DataSource,
    private readonly onConflict?: (conflict: Conflict) => void,
  ) {
    this.family = familyOf(dataSource.options.type);
    this.tables = tableNames(dataSource.options.entityPrefix ?? '');
    this.transactions = Transactions.of(dataSource);
  }

  /**
   * None, or 1 the first time that a value is large: whether a JSON text fits into a statement. One
   * that does not would end the connection, and look like a database that is away.
   */
  async fits(json: string): Promise<boolean> {
    if (this.family === 'sqlite' || json.length <= SMALL_VALUE) return true;
    // the driver writes a backslash before each of these
    const escaped = json.length + (json.match(/["'\\]/g)?.length ?? 0);
    return escaped + STATEMENT_MARGIN <= (await this.transactions.single(maxAllowedPacket));
  }

  /**
   * 6 statements, 7 with `check`, and 1 more where the user has a backup; locks the user. The user's
   * row is made or counted up first, so two of these for one user are given different versions.
   *
   * @param check is told how many backups the user has, and may throw
   */
  createBackup(
    userId: string,
    { algorithm, authData }: BackupInformation,
    check?: (backupCount: number) => void,
  ): Promise<string> {
    const { users, backups } = this.tables;
    const user = bytes(userId);
    return this.transaction(async (runner) => {
      const next =
        this.family === 'mysql' ? 'ON DUPLICATE KEY UPDATE' : 'ON CONFLICT (user_id) DO UPDATE SET';
      // In this order it reads the same where assignments see each other's effect (MySQL) and
      // where they do not (SQLite).
      await runner.query(
        `INSERT INTO ${users} (user_id, last_version, current_version) VALUES (?, 1, 1)
         ${next} current_version = last_version + 1, last_version = last_version + 1`,
        [user],
      );
      const [row] = await rows(
        runner,
        `SELECT last_version AS version,
           (SELECT MAX(version) FROM ${backups} WHERE user_id = ?) AS former
         FROM ${users} WHERE user_id = ?`,
        [user, user],
      );
      const version = Number(row?.version);
      await supersede(runner, this.family, this.tables, user, numberOrUndefined(row?.former));
      if (check) {
        const [others] = await rows(
          runner,
          `SELECT COUNT(*) AS count FROM ${backups} WHERE user_id = ?`,
          [user],
        );
        check(Number(others?.count));
      }
      const keySetId = await this.newKeySet(runner);
      const now = Date.now();
      await runner.query(
        `INSERT INTO ${backups} (user_id, version, key_set_id, algorithm, auth_data, etag, key_count,
           byte_count, largest_key, next_seq, created_at, changed_at)
         VALUES (?, ?, ?, ?, ?, 0, 0, 0, 0, 0, ?, ?)`,
        [user, version, keySetId, bytes(algorithm), authData, now, now],
      );
      return String(version);
    });
  }

  /** 1 statement, no lock: the newest backup that is not deleted, unless an import could not take a newer one. */
  async currentBackup(userId: string): Promise<Backup | undefined> {
    const { users, backups } = this.tables;
    const [row] = await this.read(
      `SELECT ${backupColumns} FROM ${users} u
       JOIN ${backups} b ON b.user_id = u.user_id AND b.version = u.current_version
       WHERE u.user_id = ?`,
      [bytes(userId)],
    );
    return row && asBackup(row);
  }

  /** 1 statement, no lock. */
  async backup(userId: string, version: string): Promise<Backup | undefined> {
    const id = versionNumber(version);
    if (id === undefined) return undefined;
    const [row] = await this.read(
      `SELECT ${backupColumns} FROM ${this.tables.backups} b WHERE b.user_id = ? AND b.version = ?`,
      [bytes(userId), id],
    );
    return row && asBackup(row);
  }

  /**
   * 1 statement, no lock; none for no keys, or more than one statement may hold.
   *
   * @returns undefined where there is no such backup, or nothing was asked
   */
  async glance(
    userId: string,
    version: string,
    keys: readonly KeyId[],
  ): Promise<Glance | undefined> {
    const id = versionNumber(version);
    const isOneStatement = keys.length > 0 && keys.length <= rowsPerStatement(this.family);
    if (id === undefined || !isOneStatement) return undefined;
    const { users, backups, rooms, keys: table } = this.tables;
    const values = new SqlValues(this.family);
    const user = () => values.bytesOf(userId);
    const hashes = new Map(keys.map((key) => [key, idHash(key)]));
    const roomIds = [...new Set(keys.map(({ roomId }) => roomId))];
    // three kinds of rows in one statement, and so as of one moment
    const found = await this.read(
      `SELECT 'backup' AS kind, NULL AS id, b.key_set_id AS n1, b.etag AS n2, b.key_count AS n3,
         b.changed_at AS n4, u.current_version = b.version AS n5, b.mirrored_etag = b.etag AS n6
       FROM ${users} u JOIN ${backups} b ON b.user_id = u.user_id
       WHERE u.user_id = ${user()} AND b.version = ${values.integer(id)}
       UNION ALL SELECT 'key', k.id_hash, k.room_no, k.seq, k.first_message_index,
         k.forwarded_count, k.is_verified, OCTET_LENGTH(k.session_data)
       FROM ${backups} b JOIN ${table} k ON k.key_set_id = b.key_set_id
       WHERE b.user_id = ${user()} AND b.version = ${values.integer(id)}
         AND k.id_hash IN (${[...hashes.values()].map((hash) => values.hex(hash)).join()})
       UNION ALL SELECT 'room', r.room_id, r.room_no, NULL, NULL, NULL, NULL, NULL
       FROM ${backups} b JOIN ${rooms} r ON r.key_set_id = b.key_set_id
       WHERE b.user_id = ${user()} AND b.version = ${values.integer(id)}
         AND r.room_id IN (${roomIds.map((roomId) => values.bytesOf(roomId)).join()})`,
      values.parameters,
    );
    let backup: Row | undefined;
    const roomNumbers = new Map<string, number>();
    const ranks = new Map<string, StoredRank>();
    for (const row of found) {
      if (row.kind === 'backup') backup = row;
      else if (row.kind === 'room') roomNumbers.set(text(row.id), Number(row.n1));
      else {
        ranks.set(hex(row.id), {
          firstMessageIndex: Number(row.n3),
          forwardedCount: Number(row.n4),
          isVerified: Number(row.n5) === 1,
          row: { roomNo: Number(row.n1), seq: Number(row.n2), bytes: Number(row.n6) },
        });
      }
    }
    return (
      backup && {
        isCurrent: Number(backup.n5) === 1,
        isMirror: Number(backup.n6) === 1,
        state: { count: Number(backup.n3), etag: String(Number(backup.n2)) },
        ranks: Array.from(hashes.values(), (hash) => ranks.get(hash)),
        hashes,
        roomNumbers,
        moment: {
          keySetId: Number(backup.n1),
          etag: Number(backup.n2),
          changedAt: Number(backup.n4),
        },
      }
    );
  }

  /**
   * 3 statements and those of `work`; locks the user and the backup. One statement finds and locks
   * both, before anything else is read: what `work` reads after it, it reads as it is now, and
   * nobody else changes it until `work` is through. `work` runs again from the start when the
   * database gave up its transaction in favour of another.
   */
  async locked<T>(
    userId: string,
    version: string,
    work: (user: LockedUser) => Promise<T>,
  ): Promise<T> {
    const { users, backups } = this.tables;
    const user = bytes(userId);
    const id = versionNumber(version);
    return this.transaction(async (runner) => {
      if (this.family === 'sqlite') {
        // Takes SQLite's write lock before anything is read: a transaction that begins with a
        // read could not write any more once another process has.
        await runner.query(`UPDATE ${users} SET last_version = last_version WHERE user_id = ?`, [
          user,
        ]);
      }
      const [row] = await rows(
        runner,
        `SELECT u.last_version, u.current_version, u.withheld_versions, b.version, b.algorithm, b.key_set_id, b.etag,
           b.key_count, b.byte_count, b.largest_key, b.next_seq, b.mirrored_etag, b.changed_at
         FROM ${users} u LEFT JOIN ${backups} b ON b.user_id = u.user_id AND b.version = ?
         WHERE u.user_id = ?${this.family === 'mysql' ? ' FOR UPDATE' : ''}`,
        [id ?? 0, user],
      );
      const exists = row?.version !== null && row?.version !== undefined;
      const withheld = withheldVersions(row?.withheld_versions);
      return work({
        currentVersion:
          row?.current_version === null || row?.current_version === undefined
            ? undefined
            : String(Number(row.current_version)),
        everExisted: row !== undefined && id !== undefined && id <= Number(row.last_version),
        backup: exists
          ? new LockedBackup(runner, this.family, this.tables, user, row, () =>
              this.newKeySet(runner),
            )
          : undefined,
        deleteWithheld:
          id !== undefined && withheld.includes(id)
            ? () =>
                this.writeWithheld(
                  runner,
                  user,
                  withheld.filter((other) => other !== id),
                )
            : undefined,
      });
    });
  }

  /**
   * 1 statement, no lock.
   *
   * @returns undefined where there is no such backup, null where it has no such key
   */
  async key(userId: string, version: string, id: KeyId): Promise<RoomKey | null | undefined> {
    const { backups, rooms, keys } = this.tables;
    const versionId = versionNumber(version);
    if (versionId === undefined) return undefined;
    const [row] = await this.read(
      `SELECT k.session_id, k.first_message_index, k.forwarded_count, k.is_verified, k.session_data
       FROM ${backups} b
       LEFT JOIN ${rooms} r ON r.key_set_id = b.key_set_id AND r.room_id = ?
       LEFT JOIN ${keys} k ON k.key_set_id = b.key_set_id AND k.id_hash = ?
         AND k.room_no = r.room_no AND k.session_id = ?
       WHERE b.user_id = ? AND b.version = ?`,
      [
        bytes(id.roomId),
        Buffer.from(idHash(id), 'hex'),
        bytes(id.sessionId),
        bytes(userId),
        versionId,
      ],
    );
    if (!row) return undefined;
    return row.session_id === null ? null : asKey(row, id.roomId);
  }

  /**
   * 3 statements and one per page, no lock: all keys, or those of a room, as of one moment, one
   * room after the other, in pages that are small enough to be held in memory.
   *
   * @returns undefined where there is no such backup; the caller closes what it is given
   */
  async keys(
    userId: string,
    version: string,
    { roomId }: KeySelection,
  ): Promise<KeyPages | undefined> {
    const { backups, rooms, keys } = this.tables;
    const id = versionNumber(version);
    if (id === undefined) return undefined;
    const snapshot = await openSnapshot(this.dataSource, this.transactions, userId, {
      readsAtOnce: true,
    });
    try {
      const [backup] = await snapshot.query(
        `SELECT key_set_id, key_count, largest_key FROM ${backups} WHERE user_id = ? AND version = ?`,
        [bytes(userId), id],
      );
      if (!backup) {
        await snapshot.close();
        return undefined;
      }
      const set = Number(backup.key_set_id);
      const inRoom = roomId === undefined ? '' : ' AND room_id = ?';
      const roomRows = await snapshot.query(
        `SELECT room_no, room_id FROM ${rooms} WHERE key_set_id = ?${inRoom}`,
        roomId === undefined ? [set] : [set, bytes(roomId)],
      );
      const roomIds = new Map(roomRows.map((row) => [Number(row.room_no), text(row.room_id)]));
      const onlyRoom =
        roomId === undefined ? undefined : roomRows[0] && Number(roomRows[0].room_no);
      const source: PageSource = {
        keyCount: roomId !== undefined && onlyRoom === undefined ? 0 : Number(backup.key_count),
        largestKey: Number(backup.largest_key),
        readsElsewhere: this.family === 'mysql',
        page: async (after, limit) => {
          const [where, position] =
            onlyRoom === undefined
              ? laterThan(this.family, after)
              : ['room_no = ? AND seq > ?', [onlyRoom, after.seq]];
          const page = await snapshot.query(
            `SELECT room_no, seq, session_id, first_message_index, forwarded_count, is_verified,
               session_data
             FROM ${keys}${inOrder(this.family)} WHERE key_set_id = ? AND ${where} ORDER BY room_no, seq LIMIT ${limit}`,
            [set, ...position],
          );
          return page.map((row) => ({
            position: { roomNo: Number(row.room_no), seq: Number(row.seq) },
            key: asKey(row, roomOf(row, roomIds)),
          }));
        },
        close: () => snapshot.close(),
      };
      const pages = new KeyPages(source);
      return snapshot.holdsUpOthers ? await pages.buffered() : pages;
    } catch (error) {
      await snapshot.close();
      throw error;
    }
  }

  /**
   * 6 statements, however many keys there are; locks the user. Forgets all backups and retires
   * their keys. What stays is the number of the last version, so that none is given out twice.
   */
  eraseUser(userId: string): Promise<void> {
    const { users, backups, keySets } = this.tables;
    const user = bytes(userId);
    return this.transaction(async (runner) => {
      // comes first, as in every change: it takes the lock
      await runner.query(
        `UPDATE ${users} SET current_version = NULL, withheld_versions = NULL, revision = revision + 1
         WHERE user_id = ?`,
        [user],
      );
      // locked each: a node of a cluster that gives one of them another key set meanwhile does so in
      // spite of the user's lock, and the other set would stay for ever
      const sets = await rows(
        runner,
        `SELECT key_set_id FROM ${backups} WHERE user_id = ?${this.family === 'mysql' ? ' FOR UPDATE' : ''}`,
        [user],
      );
      // not by a subquery: MariaDB before 11.1 would go through, and lock, every row of the table
      for (const some of chunks(sets, rowsPerStatement(this.family))) {
        await runner.query(
          `UPDATE ${keySets} SET retired_at = ? WHERE key_set_id IN (${placeholders(some.length)})`,
          [Date.now(), ...some.map((row) => row.key_set_id)],
        );
      }
      await runner.query(`DELETE FROM ${backups} WHERE user_id = ?`, [user]);
    });
  }

  /**
   * 1 statement, no lock.
   *
   * @param timeoutMs how long the connection and the answer may each take, in milliseconds
   * @throws when the database does not answer
   */
  async ping(timeoutMs: number): Promise<void> {
    // past the queue of SQLite, whose statement waits for nobody
    const runner = straightRunner(this.dataSource, timeoutMs);
    try {
      // a Galera node that takes no statements of anybody answers one without a table all the same
      await runner.query(`SELECT 1 FROM ${this.tables.users} LIMIT 1`);
    } finally {
      await runner.release();
    }
  }

  /** No statement: what is known in this process. */
  activity(): Activity {
    const snapshots = snapshotsOf(this.dataSource);
    return {
      restores: snapshots.open,
      restoresWaiting: snapshots.waiting,
      transactionsWaiting: this.transactions.waiting,
    };
  }

  /** 1 statement and 1 per backup, which reads all of its keys; no lock. */
  async summaries(userId: string): Promise<BackupSummary[]> {
    const { users, backups, keys } = this.tables;
    const found = await this.read(
      `SELECT b.version, b.algorithm, b.etag, b.key_count, b.byte_count, b.created_at, b.changed_at,
         b.key_set_id, u.current_version
       FROM ${backups} b LEFT JOIN ${users} u ON u.user_id = b.user_id
       WHERE b.user_id = ? ORDER BY b.version`,
      [bytes(userId)],
      patience.operatorMs,
    );
    const summaries: BackupSummary[] = [];
    for (const row of found) {
      const devices = await this.read(
        `SELECT DISTINCT device_id FROM ${keys} WHERE key_set_id = ? AND device_id IS NOT NULL`,
        [row.key_set_id],
        patience.operatorMs,
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

  /** 4 statements, of which 3 read all rows of users and backups; no lock. */
  async statistics(largest: number): Promise<RoomKeysStatistics> {
    const { users, backups } = this.tables;
    const [user] = await this.read(
      `SELECT COUNT(*) AS count FROM ${users}`,
      [],
      patience.operatorMs,
    );
    const [sum] = await this.read(
      `SELECT COUNT(*) AS backups, COUNT(DISTINCT user_id) AS users, SUM(key_count) AS count,
         SUM(byte_count) AS bytes FROM ${backups}`,
      [],
      patience.operatorMs,
    );
    const top = await this.read(
      `SELECT user_id, version, key_count, byte_count, changed_at FROM ${backups}
       ORDER BY key_count DESC, user_id, version LIMIT ${Math.max(0, Math.trunc(largest))}`,
      [],
      patience.operatorMs,
    );
    const { sets, oldest } = await this.backlog();
    return {
      users: Number(user?.count),
      usersWithBackup: Number(sum?.users),
      backups: Number(sum?.backups),
      keys: Number(sum?.count ?? 0),
      bytes: Number(sum?.bytes ?? 0),
      waiting: { keySets: sets, since: oldest === undefined ? undefined : new Date(oldest) },
      largest: top.map((row) => ({
        userId: text(row.user_id),
        version: String(Number(row.version)),
        count: Number(row.key_count),
        bytes: Number(row.byte_count),
        changedAt: new Date(Number(row.changed_at)),
      })),
    };
  }

  /**
   * 1 statement, no lock.
   *
   * @returns the key sets that wait to be swept, those that were retired first at the front
   */
  async retiredKeySets(limit: number): Promise<number[]> {
    const found = await this.read(
      `SELECT key_set_id FROM ${this.tables.keySets} WHERE retired_at <= ?
       ORDER BY retired_at, key_set_id LIMIT ${limit}`,
      [Date.now()],
    );
    return found.map((row) => Number(row.key_set_id));
  }

  /** 1 statement, no lock: how many key sets wait to be swept, and when the first was retired. */
  async backlog(): Promise<{ sets: number; oldest: number | undefined }> {
    const [row] = await this.read(
      `SELECT COUNT(*) AS sets, MIN(retired_at) AS oldest FROM ${this.tables.keySets}
       WHERE retired_at <= ?`,
      [Date.now()],
    );
    const sets = Number(row?.sets);
    return { sets, oldest: sets === 0 ? undefined : Number(row?.oldest) };
  }

  /**
   * 3 statements, or 5 with the last rows; locks up to `limit` rows that nobody reads any more.
   * Safe to run in several processes at once, and to be broken off at any point.
   *
   * @returns how many rows of keys it removed; where fewer than `limit`, nothing of the set is left
   */
  sweepKeySet(keySetId: number, limit: number): Promise<number> {
    const { keySets, rooms, keys } = this.tables;
    return this.transaction(async (runner) => {
      const some =
        this.family === 'mysql'
          ? `DELETE FROM ${keys} WHERE key_set_id = ? ORDER BY room_no, seq LIMIT ${limit}`
          : `DELETE FROM ${keys} WHERE rowid IN
               (SELECT rowid FROM ${keys} WHERE key_set_id = ? LIMIT ${limit})`;
      const removed = await affected(runner, some, [keySetId]);
      if (removed === limit) return removed;
      await runner.query(`DELETE FROM ${rooms} WHERE key_set_id = ?`, [keySetId]);
      await runner.query(`DELETE FROM ${keySets} WHERE key_set_id = ?`, [keySetId]);
      return removed;
    });
  }

  private async writeWithheld(
    runner: QueryRunner,
    user: Buffer,
    withheld: readonly number[],
  ): Promise<void> {
    const { users } = this.tables;
    await runner.query(
      `UPDATE ${users} SET revision = revision + 1, withheld_versions = ?, current_version =
         ${newestBackup(this.tables)} WHERE user_id = ?`,
      [withheldText(withheld), user, newestWithheld(withheld), user],
    );
  }

  private newKeySet(runner: QueryRunner): Promise<number> {
    return insertKeySet(runner, this.tables, null);
  }

  private transaction<T>(work: (runner: QueryRunner) => Promise<T>): Promise<T> {
    return this.transactions.run(work, this.onConflict);
  }

  private read(sql: string, parameters: unknown[], patienceMs?: number): Promise<Row[]> {
    return this.transactions.single((runner) => rows(runner, sql, parameters), patienceMs);
  }
}

const backupColumns = 'b.version, b.algorithm, b.auth_data, b.etag, b.key_count';

const asBackup = (row: Row): Backup => ({
  version: String(Number(row.version)),
  algorithm: text(row.algorithm),
  authData: row.auth_data as string,
  count: Number(row.key_count),
  etag: String(Number(row.etag)),
});

/** The number of a version id; undefined for what is not one, which is a backup that does not exist. */
function versionNumber(version: string): number | undefined {
  if (!/^[1-9][0-9]{0,15}$/.test(version)) return undefined;
  const id = Number(version);
  return Number.isSafeInteger(id) ? id : undefined;
}

async function affected(runner: QueryRunner, sql: string, parameters: unknown[]): Promise<number> {
  const result = await runner.query(sql, parameters, true);
  return result.affected ?? 0;
}
