import type { DataSource } from 'typeorm';
import type { UserSummary } from '../room-keys/room-key.js';
import type { RoomKeysStatistics } from '../room-keys/storage/statistics.js';
import { RoomKeysVerifier } from '../room-keys/storage/room-keys.verifier.js';
import type {
  RoomKeysFinding,
  RoomKeysVerificationProgress,
} from '../room-keys/storage/verification.js';
import type { DeletedKeys } from '../room-keys/storage/database/dialect.js';
import { RetiredKeysRepository } from '../room-keys/storage/retired-keys.repository.js';
import { RoomKeysRepository } from '../room-keys/storage/room-keys.repository.js';
import { StatisticsRepository } from '../room-keys/storage/statistics.repository.js';
import { StorageCheck } from '../room-keys/storage/storage-check.js';

/** Rows per transaction, as few as the sweeper of a server takes. */
const ROWS_PER_SWEEP = 500;
const ENTRIES_PER_LOOK = 10;

/** What {@link RoomKeysMaintenance.verify} may be told. */
export interface VerifyOptions {
  /** Verifies what is stored of this user only. Default: everybody's. */
  userId?: string | undefined;
  /** Called about once every thousand keys. Default: nobody is told. */
  onProgress?: ((progress: RoomKeysVerificationProgress) => void) | undefined;
}

/**
 * What operators ask for, outside of requests: statistics, verification, sweeping. It needs nothing
 * but a DataSource whose `migrations` were run, so a script makes its own:
 * `new RoomKeysMaintenance(dataSource)`; a host that imports the module injects it.
 *
 * Everything here can run beside servers that are in use.
 *
 * @publicApi
 */
export class RoomKeysMaintenance {
  private readonly repository: RoomKeysRepository;
  private readonly retired: RetiredKeysRepository;
  private readonly statisticsRepository: StatisticsRepository;

  /** @param dataSource initialized, of type 'mysql', 'mariadb', 'postgres' or 'better-sqlite3' */
  constructor(private readonly dataSource: DataSource) {
    this.repository = new RoomKeysRepository(dataSource);
    this.retired = new RetiredKeysRepository(dataSource);
    this.statisticsRepository = new StatisticsRepository(dataSource);
  }

  /**
   * Asks the database for any answer, on a connection such as requests have: for a health check. A
   * connection on which none comes is closed, and the pool makes another in its place; with TypeORM's
   * own `query` each check would keep one for ever.
   *
   * @param timeoutMs how long the connection and the answer may each take, in milliseconds. Default: 3000
   * @throws when the database does not answer in time, or with an error
   */
  async ping(timeoutMs = 3000): Promise<void> {
    await this.repository.ping(timeoutMs);
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

  /** Tells what is stored of a user; it reads all of the user's keys to find the devices. */
  async summary(userId: string): Promise<UserSummary> {
    return this.statisticsRepository.summary(userId);
  }

  /**
   * Deletes all backups and keys of a user, at once for every reader; a server's sweeper, or
   * {@link sweep}, removes the rows afterwards. See `RoomKeysService.eraseUser`.
   */
  async eraseUser(userId: string): Promise<void> {
    await this.repository.eraseUser(userId);
  }

  /**
   * Holds every row against what the others say, and reports what is wrong as it is found; without
   * a finding, all is well. It changes nothing, reads a page at a time, and sees each user's backups
   * as of one moment, so that uploads that go on meanwhile are no findings.
   */
  verify({ userId, onProgress }: VerifyOptions = {}): AsyncIterable<RoomKeysFinding> {
    return new RoomKeysVerifier(this.dataSource, onProgress ?? (() => undefined)).findings(userId);
  }

  /**
   * Removes the rows of deleted backups and of deleted keys, as the sweeper of a server does, in
   * steps that nobody notices. Safe to be broken off, and to run in several processes.
   *
   * @param onProgress called with the rows of keys that are removed so far
   * @returns how many key sets, deleted rooms of others, and rows of keys were removed
   */
  async sweep(
    onProgress?: (rows: number) => void,
  ): Promise<{ keySets: number; rooms: number; rows: number }> {
    const done = { keySets: 0, rooms: 0, rows: 0 };
    for (;;) {
      const retired = await this.retired.retired(ENTRIES_PER_LOOK);
      if (retired.length === 0) return done;
      for (const entry of retired) {
        let removed: DeletedKeys = { rows: 0 };
        do {
          removed = await this.retired.remove(entry, ROWS_PER_SWEEP, removed.last);
          done.rows += removed.rows;
          onProgress?.(done.rows);
        } while (removed.rows === ROWS_PER_SWEEP);
        if (entry.roomNo === undefined) done.keySets += 1;
        else done.rooms += 1;
      }
    }
  }
}
