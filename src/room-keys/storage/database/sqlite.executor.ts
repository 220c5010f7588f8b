import { setImmediate, setTimeout } from 'node:timers/promises';
import { DataSource, type QueryRunner } from 'typeorm';
import { type Connection, type Executor, type Snapshot, snapshotOf } from './connection.js';
import { BusyError, connectFailure } from './errors.js';
import { SqliteConnection } from './sqlite-connection.js';
import { timeouts } from './timeouts.js';

/** Time for which a call waits for the end of a transaction of the host that it may be in itself. */
const OWN_TRANSACTION_MS = 1000;

/**
 * Runs statements on SQLite's one connection. The host's statements share it, and would be part of a
 * transaction of ours, rolled back with it. So ours begins in a turn of the event loop of its own and is over
 * before another one, since nothing in it waits for more than SQLite, which is synchronous; and it is not begun
 * within a transaction of the host. The caller must run one at a time.
 */
export class SqliteExecutor implements Executor {
  private readonly connection: SqliteConnection;
  private readonly joinedConnection: SqliteConnection;

  constructor(private readonly dataSource: DataSource) {
    this.connection = new SqliteConnection(dataSource);
    this.joinedConnection = new SqliteConnection(dataSource, true);
  }

  async single<T>(work: (connection: Connection) => Promise<T>, timeoutMs: number): Promise<T> {
    await this.free(Math.min(timeoutMs, timeouts.connectionMs));
    return work(this.connection);
  }

  async transaction<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    await this.free(timeouts.connectionMs);
    // at once: a transaction that begins with a read cannot write any more once another process has
    try {
      this.connection.run('BEGIN IMMEDIATE');
    } catch (error) {
      // it is the host's, and goes on
      throw this.connection.isInTransaction ? heldByAnother() : error;
    }
    try {
      const result = await work(this.connection);
      this.connection.run('COMMIT');
      return result;
    } catch (error) {
      this.connection.rollBack();
      throw error;
    }
  }

  async snapshot(timeoutMs: number, readsAtOnce: boolean): Promise<Snapshot> {
    const reader = await this.secondConnection(timeoutMs);
    return reader ?? this.holdingTheConnection(readsAtOnce);
  }

  joined<T>(_runner: QueryRunner, work: (connection: Connection) => Promise<T>): Promise<T> {
    return work(this.joinedConnection);
  }

  async outsideOfHost(): Promise<void> {
    try {
      await this.free(OWN_TRANSACTION_MS);
    } catch (error) {
      if (!(error instanceof BusyError)) throw error;
      throw new BusyError(
        'A transaction of the host holds the only connection to SQLite: pass its EntityManager, so that this call joins it, or make the call after it.',
      );
    }
  }

  /** Waits until the host is in no transaction, in a turn of the event loop of its own. */
  private async free(timeoutMs: number): Promise<void> {
    await setImmediate();
    const runner = this.dataSource.createQueryRunner();
    for (const deadline = Date.now() + timeoutMs; ;) {
      if (!runner.isTransactionActive && !this.connection.isInTransaction) return;
      if (Date.now() > deadline) throw heldByAnother();
      await setTimeout(2);
    }
  }

  /**
   * The one exception to using the host's connection only: a restore that holds it would hold up everybody.
   * Undefined in memory or without a write-ahead log, where a second connection is not possible, or blocks
   * those that write.
   */
  private async secondConnection(timeoutMs: number): Promise<Snapshot | undefined> {
    const { options } = this.dataSource;
    if (options.type !== 'better-sqlite3') return undefined;
    const isWal = await this.single(async (connection) => {
      const [row] = await connection.rows('PRAGMA journal_mode');
      return row?.journal_mode === 'wal';
    }, timeoutMs);
    if (!isWal) return undefined;
    let reader: DataSource;
    try {
      reader = await new DataSource({
        ...options,
        entities: [],
        migrations: [],
        subscribers: [],
        synchronize: false,
        dropSchema: false,
        migrationsRun: false,
        cache: false,
        readonly: true,
        fileMustExist: true,
        enableWAL: false,
      }).initialize();
    } catch (error) {
      throw connectFailure(error);
    }
    try {
      const connection = new SqliteConnection(reader);
      connection.run('BEGIN');
      return snapshotOf(connection, false, () => reader.destroy());
    } catch (error) {
      await reader.destroy();
      throw error;
    }
  }

  /**
   * Without a write-ahead log another process may write between two statements, and a transaction keeps it
   * from that.
   */
  private holdingTheConnection(inTransaction: boolean): Promise<Snapshot> {
    return new Promise((resolve, reject) => {
      const hold = (connection: Connection) =>
        new Promise<void>((release) => {
          const close = () => {
            release();
            return over;
          };
          resolve(snapshotOf(connection, true, close));
        });
      const held = inTransaction
        ? this.transaction(hold)
        : this.single(hold, timeouts.connectionMs);
      const over = held.catch(reject);
    });
  }
}

const heldByAnother = () => new BusyError('Another transaction holds the connection.');
