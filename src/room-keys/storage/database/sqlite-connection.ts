import type BetterSqlite3 from 'better-sqlite3';
import { type DataSource, QueryFailedError } from 'typeorm';
import type { Connection, Row, SqlValue, TextLimits, Written } from './connection.js';
import { ByteRows, type RawRows, type RowShape } from './raw-rows.js';

/** Prepared statements that are kept, by their text. */
const STATEMENTS = 100;

/** The connection of better-sqlite3, in which every statement is over before a call returns. */
export class SqliteConnection implements Connection {
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

/** The outcome of what happens at once, as a promise. */
const settled = <T>(what: () => T): Promise<T> =>
  new Promise((resolve) => {
    resolve(what());
  });
