import { setImmediate, setTimeout } from 'node:timers/promises';
import type BetterSqlite3 from 'better-sqlite3';
import { DataSource, QueryFailedError, type QueryRunner } from 'typeorm';
import type {
  Connection,
  Executor,
  Row,
  Snapshot,
  SqlValue,
  TextLimits,
  Written,
} from './connection.js';
import { BusyError, connectFailure } from './errors.js';
import { ByteRows, type RawRows, type RowShape } from './raw-rows.js';
import { timeouts } from './timeouts.js';

/** Time for which a call waits for the end of a transaction of the host that it may be in itself. */
const OWN_TRANSACTION_MS = 1000;

/** Prepared statements that are kept, by their text. */
const STATEMENTS = 100;

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
    let closed: Promise<void> | undefined;
    try {
      const connection = new SqliteConnection(reader);
      connection.run('BEGIN');
      return {
        blocksOthers: false,
        rows: (sql, parameters) => connection.rows(sql, parameters),
        rawRows: (sql, parameters, shape) => connection.rawRows(sql, parameters, shape),
        close: () => (closed ??= reader.destroy()),
      };
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
          resolve({
            blocksOthers: true,
            rows: (sql, parameters) => connection.rows(sql, parameters),
            rawRows: (sql, parameters, shape) => connection.rawRows(sql, parameters, shape),
            close: () => {
              release();
              return over;
            },
          });
        });
      const held = inTransaction
        ? this.transaction(hold)
        : this.single(hold, timeouts.connectionMs);
      const over = held.catch(reject);
    });
  }
}

class SqliteConnection implements Connection {
  readonly textLimits: TextLimits = { perStatement: Infinity, perValue: Infinity };
  readonly readsAreConfirmed = true;
  private statements = new Map<string, BetterSqlite3.Statement>();
  private preparedOn: BetterSqlite3.Database | undefined;

  constructor(
    private readonly dataSource: DataSource,
    readonly isJoined = false,
  ) {}

  /** Whether SQLite itself is in a transaction, the host's or ours. */
  get isInTransaction(): boolean {
    return this.database.inTransaction;
  }

  rows(sql: string, parameters: readonly SqlValue[] = []): Promise<Row[]> {
    return settled(() =>
      this.run(sql, parameters, (statement) => statement.all(...parameters) as Row[]),
    );
  }

  rawRows(sql: string, parameters: readonly SqlValue[], shape: RowShape): Promise<RawRows> {
    return settled(() =>
      this.run(sql, parameters, (statement) => {
        const rows = new ByteRows(shape);
        // the statement is kept, and has its mode for as long
        statement.raw(true);
        try {
          for (const row of statement.all(...parameters) as (number | Buffer | string)[][]) {
            for (const value of row) {
              if (typeof value === 'number') rows.addInteger(value);
              else rows.addBytes(value);
            }
          }
        } finally {
          statement.raw(false);
        }
        return rows;
      }),
    );
  }

  execute(sql: string, parameters: readonly SqlValue[] = []): Promise<Written> {
    return settled(() =>
      this.run(sql, parameters, (statement) => {
        const { changes, lastInsertRowid } = statement.run(...parameters);
        return { affected: changes, insertId: Number(lastInsertRowid) };
      }),
    );
  }

  async defer(sql: string, parameters: readonly SqlValue[] = []): Promise<void> {
    await this.execute(sql, parameters);
  }

  /** Runs a statement before it returns. */
  run<T = unknown>(
    sql: string,
    parameters: readonly SqlValue[] = [],
    how: (statement: BetterSqlite3.Statement) => T = (statement) => statement.run() as T,
  ): T {
    const { logger } = this.dataSource;
    const { maxQueryExecutionTime } = this.dataSource.options;
    logger.logQuery(sql, [...parameters]);
    const begun = performance.now();
    try {
      return how(this.prepared(sql));
    } catch (error) {
      logger.logQueryError(error as Error, sql, [...parameters]);
      throw new QueryFailedError(sql, [...parameters], error as Error);
    } finally {
      const took = performance.now() - begun;
      if (maxQueryExecutionTime && took > maxQueryExecutionTime) {
        logger.logQuerySlow(took, sql, [...parameters]);
      }
    }
  }

  /** Ends the transaction, unless SQLite has already done so, for example on a full disk; throws nothing. */
  rollBack(): void {
    if (!this.isInTransaction) return;
    try {
      this.dataSource.logger.logQuery('ROLLBACK', []);
    } catch {
      // whatever is wrong with the host's log, the connection must not stay in the transaction
    }
    this.database.exec('ROLLBACK');
  }

  private get database(): BetterSqlite3.Database {
    return (this.dataSource.driver as unknown as { databaseConnection: BetterSqlite3.Database })
      .databaseConnection;
  }

  private prepared(sql: string): BetterSqlite3.Statement {
    if (this.preparedOn !== this.database) {
      // the host has closed its DataSource and opened it again
      this.preparedOn = this.database;
      this.statements = new Map();
    }
    let statement = this.statements.get(sql);
    if (statement) {
      this.statements.delete(sql);
    } else {
      statement = this.database.prepare(sql);
      const [oldest] = this.statements.keys();
      if (this.statements.size >= STATEMENTS && oldest !== undefined)
        this.statements.delete(oldest);
    }
    this.statements.set(sql, statement);
    return statement;
  }
}

const heldByAnother = () => new BusyError('Another transaction holds the connection.');

/** The outcome of what happens at once, as a promise. */
const settled = <T>(what: () => T): Promise<T> =>
  new Promise((resolve) => {
    resolve(what());
  });
