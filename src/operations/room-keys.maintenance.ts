import type { DataSource } from 'typeorm';
import {
  restoreDeleted,
  type RoomKeysRestoreOptions,
  type RoomKeysRestoreResult,
} from './restore-deleted.js';
import type { RoomKeysHistoryEntry } from '../room-keys/room-keys.events.js';
import { Removals } from '../room-keys/removals.js';
import { retentionOf, type RoomKeysOptions } from '../room-keys/room-keys-options.interface.js';
import type { UserSummary } from '../room-keys/room-key.js';
import { checkUserId } from '../room-keys/service-arguments.js';
import { HistoryRepository } from '../room-keys/storage/backup-history.js';
import type { RoomKeysDeletion } from '../room-keys/storage/kept-deletions.js';
import { RoomKeysVerifier } from '../room-keys/storage/room-keys.verifier.js';
import type {
  RoomKeysFinding,
  RoomKeysVerificationProgress,
} from '../room-keys/storage/verification.js';
import type { HostTransaction } from '../room-keys/storage/database/host-transaction.js';
import { DeletedBackupsRepository } from '../room-keys/storage/deleted-backups.repository.js';
import { DeletedKeysRepository } from '../room-keys/storage/deleted-keys.repository.js';
import { RetiredKeysRepository } from '../room-keys/storage/retired-keys.repository.js';
import { RoomKeysRepository } from '../room-keys/storage/room-keys.repository.js';
import {
  type RoomKeysStatistics,
  StatisticsRepository,
  type StoredUserCounts,
} from '../room-keys/storage/statistics.repository.js';
import { StorageCheck } from '../room-keys/storage/storage-check.js';

const USERS_PER_PAGE = 500;

/** Options of {@link RoomKeysMaintenance.verify}. */
export interface VerifyOptions {
  /** Verifies this user only. Default: all users. */
  userId?: string | undefined;
  /** Called about once every thousand keys. Default: none. */
  onProgress?: ((progress: RoomKeysVerificationProgress) => void) | undefined;
}

/**
 * Maintenance for operators, outside of requests: statistics, verification, sweeping. It only needs a
 * DataSource whose `migrations` have run, so a script creates its own:
 * `new RoomKeysMaintenance(dataSource)`; a host that imports the module injects it.
 *
 * Everything here can run beside servers that are in use.
 *
 * @publicApi
 */
export class RoomKeysMaintenance {
  private readonly retired: RetiredKeysRepository;
  private readonly statisticsRepository: StatisticsRepository;
  private readonly historyRepository: HistoryRepository;
  private readonly deletedBackups: DeletedBackupsRepository;
  private readonly deletedKeys: DeletedKeysRepository;

  /**
   * @param dataSource initialized, of type 'mysql', 'mariadb', 'postgres' or 'better-sqlite3'
   * @param options those of the module: what is written to the history
   */
  constructor(
    private readonly dataSource: DataSource,
    { historyDays }: Pick<RoomKeysOptions, 'historyDays'> = {},
    /** @internal */
    private readonly removals = new Removals(
      new RoomKeysRepository(dataSource, undefined, { historyDays }),
    ),
  ) {
    this.historyRepository = new HistoryRepository(dataSource);
    const days = retentionOf({ historyDays }).historyDays;
    this.deletedBackups = new DeletedBackupsRepository(dataSource, days);
    this.deletedKeys = new DeletedKeysRepository(dataSource, days);
    this.retired = new RetiredKeysRepository(dataSource);
    this.statisticsRepository = new StatisticsRepository(dataSource);
  }

  /**
   * Pings the database on a connection of the pool that requests use: for a health check. A connection
   * that does not answer is closed, and the pool replaces it; with TypeORM's own `query` each check
   * would keep one for ever.
   *
   * @param timeoutMs how long the connection and the answer may each take, in milliseconds. Default: 3000
   * @throws when the database does not answer in time, or with an error
   */
  async ping(timeoutMs = 3000): Promise<void> {
    await this.removals.repository.ping(timeoutMs);
  }

  /**
   * Reads nothing of each table and column that the module needs.
   *
   * @throws Error with code `ROOM_KEYS_NO_TABLES` where one is missing: run the migrations
   */
  async checkTables(): Promise<void> {
    await new StorageCheck(this.dataSource).checkTables();
  }

  /**
   * Counts users, backups, keys and bytes, from the backups' own counts: fast however many keys
   * there are.
   *
   * @param largest how many of the largest backups to name. Default: 10
   */
  async statistics(largest = 10): Promise<RoomKeysStatistics> {
    return this.statisticsRepository.statistics(largest);
  }

  /** Summarizes what is stored for a user; reads all keys of the user to find the devices. */
  async summary(userId: string): Promise<UserSummary> {
    return this.statisticsRepository.summary(userId);
  }

  /** Deletions of a user that can be undone, in the order in which they were made: see `keepDeletedDays`. */
  async deletions(userId: string): Promise<RoomKeysDeletion[]> {
    const found = await this.deletedKeys.deletions(userId);
    return found.map(({ kind, version, count, deletedAt, keptUntil }) => ({
      kind,
      version,
      count,
      deletedAt,
      keptUntil,
    }));
  }

  /**
   * Restores a backup of a user if it is deleted, and the keys that were deleted from it, unless better ones have
   * replaced them. It can be interrupted and run again.
   *
   * @returns undefined if there is nothing to restore
   */
  async restore(
    userId: string,
    options: RoomKeysRestoreOptions,
  ): Promise<RoomKeysRestoreResult | undefined> {
    return restoreDeleted(this.deletedBackups, this.deletedKeys, userId, options);
  }

  /** What happened to the backups of a user, oldest first: see `historyDays`. */
  async history(userId: string): Promise<RoomKeysHistoryEntry[]> {
    return this.historyRepository.entries(userId);
  }

  /** Yields the users of whom something can be read or restored, a page at a time, in the order of their ids. */
  storedUsers(): AsyncIterable<StoredUserCounts[]> {
    return this.statisticsRepository.storedUsers(USERS_PER_PAGE);
  }

  /**
   * Deletes all backups and keys of a user, immediately for every reader; for the deactivation of an account. Only the
   * number of the last version stays, so that no version is reused, and an entry of the history that the user was
   * erased. Deleted data that could be restored is erased too. Erasing a user again, or one who never had a backup,
   * changes nothing. A server's sweeper, or {@link sweep}, removes the rows afterwards.
   *
   * @param transaction a transaction of the host to join: see `RoomKeysService.deleteBackup`
   * @returns how many backups with how many keys were erased, and how many deletions that could have been undone
   * @throws 400 `M_INVALID_PARAM` for an invalid user id
   */
  async eraseUser(
    userId: string,
    transaction?: HostTransaction | null,
  ): Promise<{ backups: number; keys: number; kept: number }> {
    checkUserId(userId);
    return this.removals.user(userId, transaction);
  }

  /**
   * Checks the consistency of all rows, and yields each problem as it is found; without findings, all is
   * well. It changes nothing, reads page by page, and reads each user in a consistent snapshot, so that
   * concurrent uploads do not cause findings.
   */
  verify({ userId, onProgress }: VerifyOptions = {}): AsyncIterable<RoomKeysFinding> {
    return new RoomKeysVerifier(this.dataSource, onProgress ?? (() => undefined)).findings(userId);
  }

  /**
   * Removes the rows of deleted backups and of deleted keys, as the sweeper of a server does, in steps
   * too small to disturb requests. Safe to interrupt, and to run in several processes.
   *
   * @param onProgress called with the number of rows of keys removed so far
   * @param staged also removes what an interrupted import left, which is otherwise kept for an hour. An import that is
   *   running then fails and has to be run again. Default: false
   * @returns the number of removed key sets, of deleted rooms removed from others, and of rows of keys
   */
  async sweep(
    onProgress?: (rows: number) => void,
    { staged = false }: { staged?: boolean } = {},
  ): Promise<{ keySets: number; rooms: number; rows: number }> {
    const done = { keySets: 0, rooms: 0, rows: 0 };
    if (staged) await this.retired.retireStaged();
    for await (const { rows, completed } of this.retired.removeAll()) {
      done.rows += rows;
      onProgress?.(done.rows);
      if (completed === 'key set') done.keySets += 1;
      else if (completed === 'room') done.rooms += 1;
    }
    return done;
  }
}
