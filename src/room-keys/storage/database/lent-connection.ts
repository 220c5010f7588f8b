import { type DataSource, QueryFailedError, type QueryRunner } from 'typeorm';
import type { Connection, Row, SqlValue, TextLimits, Written } from './connection.js';
import { NoAnswerError } from './errors.js';
import type { RawRows, RowShape } from './raw-rows.js';
import { withLiterals } from './literals.js';
import type { ValueSyntax } from './sql-values.js';
import { within } from './timeouts.js';

/**
 * A connection while it is lent by the host's pool: every answer is waited for within a time limit, TypeORM's
 * logger receives each statement, and the pool gets back a connection that is in no transaction, or none.
 */
export abstract class LentConnection implements Connection {
  abstract readonly textLimits: TextLimits;
  abstract readonly readsAreConfirmed: boolean;
  protected isDiscarded = false;
  /** Set for one that the host has begun a transaction on. */
  isJoined = false;
  private inTransaction = false;

  constructor(
    protected readonly dataSource: DataSource,
    private readonly runner: QueryRunner,
    private readonly timeoutMs: number,
    private readonly syntax: ValueSyntax,
  ) {}

  abstract rows(sql: string, parameters?: readonly SqlValue[]): Promise<Row[]>;
  abstract rawRows(sql: string, parameters: readonly SqlValue[], shape: RowShape): Promise<RawRows>;
  abstract execute(sql: string, parameters?: readonly SqlValue[]): Promise<Written>;

  /** Begins a transaction that can write. */
  abstract beginToWrite(): Promise<void>;
  /** Begins a transaction that reads one consistent state. */
  abstract beginSnapshot(): Promise<void>;
  /** Commits the transaction. If it throws, it is unknown whether the commit took effect. */
  abstract commit(): Promise<void>;

  /** Ends a transaction that is open; the first error is the one to report, so that none is thrown here. */
  async rollBack(): Promise<void> {
    if (!this.inTransaction || this.isDiscarded) return;
    try {
      await this.sendRollBack();
      this.inTransaction = false;
    } catch {
      // the connection is gone, or is closed when it is released
    }
  }

  /** Gives the connection back to the pool as it was; one that cannot be is closed, and the pool makes another. */
  async release(): Promise<void> {
    if (!this.isDiscarded && !this.inTransaction) await this.restore();
    // the next borrower would be in the same transaction, and would end it
    if (this.inTransaction) this.discard();
    await this.runner.release();
  }

  /** Leaves the connection to the host, in its transaction. */
  async leave(): Promise<void> {
    if (!this.isDiscarded) await this.restore();
  }

  /** Sends a statement whose text is complete, and takes the driver's answer. */
  protected abstract ask(sql: string): Promise<unknown>;
  protected abstract sendRollBack(): Promise<unknown>;
  /** Takes the connection out of the pool permanently. */
  protected abstract close(error?: Error): void;

  /** Sets back what was set for this module. */
  protected async restore(): Promise<void> {
    // nothing was
  }

  protected async begin(sql: string): Promise<void> {
    this.inTransaction = true;
    await this.send(sql);
  }

  protected async end(sql: string): Promise<unknown> {
    const answer = await this.send(sql);
    this.inTransaction = false;
    return answer;
  }

  /** @param ask sends the statement, in place of {@link ask} */
  protected async send<T = unknown>(
    sql: string,
    parameters: readonly SqlValue[] = [],
    ask?: (sql: string) => Promise<T>,
  ): Promise<T> {
    const { logger } = this.dataSource;
    const { maxQueryExecutionTime } = this.dataSource.options;
    logger.logQuery(sql, [...parameters], this.runner);
    const begun = maxQueryExecutionTime ? performance.now() : 0;
    try {
      return await this.answer(withLiterals(sql, parameters, this.syntax), ask);
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

  /** Without the host's log. @throws NoAnswerError when the answer does not come in time; the connection is closed then */
  protected answer<T = unknown>(sql: string, ask?: (sql: string) => Promise<T>): Promise<T> {
    const asked = ask ? ask(sql) : (this.ask(sql) as Promise<T>);
    return within(asked, this.timeoutMs, () => {
      const error = new NoAnswerError('The database does not answer.');
      this.discard(error);
      return error;
    });
  }

  protected discard(error?: Error): void {
    if (this.isDiscarded) return;
    this.isDiscarded = true;
    this.close(error);
  }
}

/** An error as TypeORM reports those of its own statements. */
export const asFailedQuery = (
  error: Error,
  sql: string,
  parameters: readonly SqlValue[] = [],
): Error =>
  error instanceof NoAnswerError ? error : new QueryFailedError(sql, [...parameters], error);
