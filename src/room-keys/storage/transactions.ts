import { setImmediate, setTimeout } from 'node:timers/promises';
import type { DataSource, QueryRunner } from 'typeorm';
import { familyOf } from './database-family.js';
import { straightRunner } from './straight-runner.js';
import { BusyError } from './unavailable.errors.js';

/** How often a transaction that gave way to another is begun again before the caller is told. */
const ATTEMPTS = 10;
/** After this no new attempt is begun: a lock timeout alone may have taken InnoDB's 50 seconds. */
const PATIENCE_MS = 20_000;

/** A transaction that the database gave up in favour of another. */
export interface Conflict {
  /** The database's own code. */
  code: string;
  /** From 1. */
  attempt: number;
  /** Whether it is not begun again. */
  gaveUp: boolean;
}

/**
 * The transactions of one DataSource: begun again when the database gave them up for another's
 * sake, and one after the other on SQLite, where TypeORM has a single connection.
 */
export class Transactions {
  private static readonly known = new WeakMap<DataSource, Transactions>();

  /** All instances of the module on one DataSource share its queue. */
  static of(dataSource: DataSource): Transactions {
    let found = this.known.get(dataSource);
    if (!found) this.known.set(dataSource, (found = new Transactions(dataSource)));
    return found;
  }

  private readonly singleConnection: boolean;
  private lastTurn: Promise<unknown> = Promise.resolve();
  private queued = 0;

  private constructor(private readonly dataSource: DataSource) {
    this.singleConnection = familyOf(dataSource.options.type) === 'sqlite';
  }

  /**
   * Runs `work` in a transaction, from its start again on a deadlock, a lock timeout, a duplicate
   * key, an outdated snapshot or a busy database: `work` must have no effect but through the runner it is given.
   *
   * @param onConflict is told of each; it must not throw
   */
  async run<T>(
    work: (runner: QueryRunner) => Promise<T>,
    onConflict?: (conflict: Conflict) => void,
  ): Promise<T> {
    const deadline = Date.now() + PATIENCE_MS;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.inTurn((runner) => inTransaction(runner, work));
      } catch (error) {
        const code = codeOfConflict(error);
        if (code === undefined) throw error;
        const gaveUp = attempt === ATTEMPTS || Date.now() > deadline;
        onConflict?.({ code, attempt, gaveUp });
        if (gaveUp) throw error;
        await setTimeout(Math.random() * 10 * 2 ** Math.min(attempt, 5));
      }
    }
  }

  /** How many wait for their turn; without a single connection none does here. */
  get waiting(): number {
    return this.queued;
  }

  /**
   * Runs single statements, each its own transaction, on a connection of the primary.
   *
   * @param patienceMs how long each may wait for its answer, in milliseconds. Default: that of a request
   */
  single<T>(work: (runner: QueryRunner) => Promise<T>, patienceMs?: number): Promise<T> {
    return this.inTurn(work, patienceMs);
  }

  private async inTurn<T>(
    work: (runner: QueryRunner) => Promise<T>,
    patienceMs?: number,
  ): Promise<T> {
    if (!this.singleConnection) return this.withRunner(work, patienceMs);
    this.queued += 1;
    const turn = this.lastTurn.then(async () => {
      this.queued -= 1;
      // The host's statements share the one connection that there is, and would be part of our
      // transaction, rolled back with it. Begun in a turn of its own, it is over before another turn,
      // since nothing in it waits for more than SQLite, which is synchronous; and it is not begun
      // within a transaction of the host's, be it TypeORM's or one that the host began by hand.
      await setImmediate();
      const deadline = Date.now() + PATIENCE_MS;
      const runner = this.dataSource.createQueryRunner();
      while (runner.isTransactionActive || isOpen(runner)) {
        if (Date.now() > deadline) throw heldByAnother();
        await setTimeout(2);
      }
      return this.withRunner(work);
    });
    this.lastTurn = turn.catch(() => undefined);
    return turn;
  }

  private async withRunner<T>(
    work: (runner: QueryRunner) => Promise<T>,
    patienceMs?: number,
  ): Promise<T> {
    const runner = straightRunner(this.dataSource, patienceMs);
    try {
      return await work(runner);
    } finally {
      await runner.release();
    }
  }
}

async function inTransaction<T>(
  runner: QueryRunner,
  work: (runner: QueryRunner) => Promise<T>,
): Promise<T> {
  await begin(runner);
  try {
    const result = await work(runner);
    await runner.commitTransaction();
    return result;
  } catch (error) {
    await rollBack(runner);
    throw error;
  }
}

async function begin(runner: QueryRunner): Promise<void> {
  try {
    await runner.startTransaction();
  } catch (error) {
    if (!isSqlite(runner) || bookkeepingOf(runner).transactionDepth > 0) {
      await rollBack(runner);
      throw error;
    }
    // SQLite has not begun it: what is open on the one connection is the host's, and goes on
    forget(runner);
    throw isOpen(runner) ? heldByAnother() : error;
  }
}

/** The first error is the one to tell: whatever goes wrong here is kept quiet. */
async function rollBack(runner: QueryRunner): Promise<void> {
  try {
    if (runner.isTransactionActive) await runner.rollbackTransaction();
  } catch {
    // The connection is gone, or is closed when it is given back; or it is SQLite's, which lives on:
    // where the disk is full or failing it has rolled back by itself, and TypeORM's ROLLBACK fails.
    if (!isSqlite(runner)) return;
    if (isOpen(runner)) await runner.query('ROLLBACK').catch(() => undefined);
    forget(runner);
  }
}

const heldByAnother = () => new BusyError('Another transaction holds the connection.');

const isSqlite = (runner: QueryRunner) => familyOf(runner.dataSource.options.type) === 'sqlite';

/** Whether SQLite itself is in a transaction, whoever began it. */
function isOpen({ dataSource }: QueryRunner): boolean {
  const { databaseConnection } = dataSource.driver as { databaseConnection?: SqliteConnection };
  return databaseConnection?.inTransaction === true;
}

/** Of better-sqlite3. */
interface SqliteConnection {
  inTransaction: boolean;
}

/** What TypeORM remembers of transactions; there is one runner for SQLite, and it would be in one for ever. */
interface Bookkeeping {
  isTransactionActive: boolean;
  transactionDepth: number;
}

const bookkeepingOf = (runner: QueryRunner) => runner as unknown as Bookkeeping;

function forget(runner: QueryRunner): void {
  Object.assign(bookkeepingOf(runner), { isTransactionActive: false, transactionDepth: 0 });
}

/**
 * The codes by which databases say that a transaction gave way to another. `conflict` events have these, so
 * that a host's counter of each can begin at nought.
 *
 * @publicApi
 */
export const roomKeysConflictCodes: readonly string[] = [
  'ER_LOCK_DEADLOCK', // also a certification conflict in a Galera cluster
  'ER_LOCK_WAIT_TIMEOUT',
  'ER_TRANSACTION_ROLLBACK_DURING_COMMIT', // a certification conflict in Group Replication
  'ER_DUP_ENTRY', // the row came in unseen, as in a cluster; looked at again, it is there
  'ER_CHECKREAD', // MariaDB with innodb_snapshot_isolation: the row changed since the snapshot
  'SQLITE_BUSY',
  'SQLITE_BUSY_RECOVERY', // another process mends the file after a crash
  'SQLITE_BUSY_SNAPSHOT', // what was read has changed since
  'SQLITE_BUSY_TIMEOUT',
  'SQLITE_LOCKED',
  'SQLITE_LOCKED_SHAREDCACHE',
  'SQLITE_LOCKED_VTAB',
];
const gaveWay = new Set(roomKeysConflictCodes);
/** With any detail, those included that a later SQLite may add. */
const SQLITE_GAVE_WAY = /^SQLITE_(BUSY|LOCKED)/;

/** The code of an error that says so; undefined for any other. */
function codeOfConflict(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown };
  const isConflict = typeof code === 'string' && (gaveWay.has(code) || SQLITE_GAVE_WAY.test(code));
  return isConflict ? code : undefined;
}
