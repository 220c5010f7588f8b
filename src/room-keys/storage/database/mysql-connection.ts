import type { PoolConnection, QueryOptions, ResultSetHeader } from 'mysql2';
import { type DataSource, QueryFailedError, type QueryRunner } from 'typeorm';
import type { Connection, Row, SqlValue, TextLimits, Written } from './connection.js';
import { mysqlCode, NoAnswerError } from './errors.js';
import { withLiterals } from './mysql-literals.js';
import { closeIdle, discard } from './mysql-pool.js';
import { type MysqlSession, mysqlSession } from './mysql-session.js';
import { within } from './timeouts.js';

/** A connection while it is lent by the pool; every answer is waited for within a time limit. */
export class LentConnection implements Connection {
  private settings: MysqlSession | undefined;
  private inTransaction = false;
  private isDiscarded = false;

  constructor(
    private readonly dataSource: DataSource,
    private readonly runner: QueryRunner,
    private readonly connection: PoolConnection,
    private readonly timeoutMs: number,
  ) {}

  /** Known once it is prepared. */
  get session(): MysqlSession {
    if (!this.settings) throw new Error('The connection is not prepared.');
    return this.settings;
  }

  get textLimits(): TextLimits {
    return this.session.textLimits;
  }

  /** Finds out what its session is set to, and sets what has to be otherwise. */
  async prepare(isolationVariable: string): Promise<void> {
    this.settings = await mysqlSession(this.connection, isolationVariable, (sql) =>
      this.quietRows(sql),
    );
    if (this.session.prepare !== undefined) await this.answer(this.session.prepare);
  }

  async rows(sql: string, parameters?: readonly SqlValue[]): Promise<Row[]> {
    return (await this.send(sql, parameters)) as Row[];
  }

  async execute(sql: string, parameters?: readonly SqlValue[]): Promise<Written> {
    const { affectedRows, insertId } = (await this.send(sql, parameters)) as ResultSetHeader;
    return { affected: affectedRows, insertId };
  }

  /** Rows of a statement that belongs to no operation, and that the host's log does not show. */
  async quietRows(sql: string): Promise<Row[]> {
    try {
      return (await this.answer(sql)) as Row[];
    } catch (error) {
      throw asFailedQuery(error as Error, sql, []);
    }
  }

  async begin(sql: string): Promise<void> {
    this.inTransaction = true;
    await this.send(sql);
  }

  async commit(): Promise<void> {
    // whatever the completion_type of the session is
    await this.send('COMMIT AND NO CHAIN NO RELEASE');
    this.inTransaction = false;
  }

  /** Ends a transaction that is open; the first error is the one to report, so that none is thrown here. */
  async rollBack(): Promise<void> {
    if (!this.inTransaction || this.isDiscarded) return;
    try {
      await this.send('ROLLBACK AND NO CHAIN NO RELEASE');
      this.inTransaction = false;
    } catch {
      // the connection is gone, or is closed when it is released
    }
  }

  /** Gives the connection back to the pool as it was; one that cannot be is closed, and the pool makes another. */
  async release(): Promise<void> {
    if (!this.isDiscarded && !this.inTransaction && this.settings?.restore !== undefined) {
      await this.answer(this.settings.restore).catch(() => {
        this.discard();
      });
    }
    // the next borrower would be in the same transaction, and would end it
    if (this.inTransaction) this.discard();
    await this.runner.release();
  }

  private async send(sql: string, parameters: readonly SqlValue[] = []): Promise<unknown> {
    const { logger } = this.dataSource;
    const { maxQueryExecutionTime } = this.dataSource.options;
    logger.logQuery(sql, [...parameters], this.runner);
    const begun = maxQueryExecutionTime ? performance.now() : 0;
    try {
      return await this.answer(withLiterals(sql, parameters));
    } catch (error) {
      if (!(error instanceof NoAnswerError)) {
        logger.logQueryError(error as Error, sql, [...parameters], this.runner);
      }
      throw asFailedQuery(error as Error, sql, parameters);
    } finally {
      if (maxQueryExecutionTime) {
        const took = performance.now() - begun;
        if (took > maxQueryExecutionTime) {
          logger.logQuerySlow(took, sql, [...parameters], this.runner);
        }
      }
    }
  }

  /** @throws NoAnswerError when the answer does not come in time; the connection is closed then */
  private answer(sql: string): Promise<unknown> {
    return within(answerOf(this.connection, sql), this.timeoutMs, () => {
      const error = new NoAnswerError('The database does not answer.');
      this.discard(error);
      return error;
    });
  }

  private discard(error?: Error): void {
    this.isDiscarded = true;
    discard(this.connection, error);
    // where one leads nowhere, so will those that nothing uses: each would cost a request its time limit
    if (error) closeIdle(this.dataSource);
  }
}

function answerOf(connection: PoolConnection, sql: string): Promise<unknown> {
  const { typeCast } = connection.config;
  const options: QueryOptions & { values: null } = {
    sql,
    // Without values the driver looks for no placeholders: it would go through all keys of an upload.
    values: null,
    // whatever the host has set for its own statements
    namedPlaceholders: false,
    rowsAsArray: false,
    nestTables: false,
    ...(typeCast === undefined || typeCast === true ? {} : { typeCast: (_field, next) => next() }),
  };
  return new Promise((resolve, reject) => {
    connection.query(options, (error, result) => {
      if (!error) {
        resolve(result);
        return;
      }
      const code = mysqlCode(error);
      reject(code === undefined ? error : Object.assign(error, { code }));
    });
  });
}

/** An error as TypeORM reports those of its own statements. */
const asFailedQuery = (error: Error, sql: string, parameters: readonly SqlValue[]): Error =>
  error instanceof NoAnswerError ? error : new QueryFailedError(sql, [...parameters], error);
