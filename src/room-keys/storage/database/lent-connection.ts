import { type DataSource, QueryFailedError, type QueryRunner } from 'typeorm';
import type { Connection, Row, SqlValue, TextLimits, Written } from './connection.js';
import { NoAnswerError } from './errors.js';
import type { RawRows, RowShape } from './raw-rows.js';
import { type ValueSyntax, withLiterals } from './sql-values.js';
import { within } from './timeouts.js';

/** Longest message of several statements, in characters: a longer one saves nothing that is noticed. */
const CHARACTERS_PER_MESSAGE = 1024 * 1024;

interface Statement {
  sql: string;
  parameters: readonly SqlValue[];
  /** With the values in their places. */
  text: string;
}

/**
 * A connection while it is lent by the host's pool: every answer is waited for within a time limit, TypeORM's
 * logger receives each statement, and the pool gets back a connection that is in no transaction, or none.
 */
export abstract class LentConnection implements Connection {
  abstract readonly textLimits: TextLimits;
  abstract readonly readsAreConfirmed: boolean;
  /** What may share a message with the statement after it: BEGIN, or each statement of a transaction that writes. */
  protected abstract readonly defers: 'nothing' | 'begin' | 'all';
  protected isDiscarded = false;
  /** Set for one that the host has begun a transaction on. */
  isJoined = false;
  private transaction: 'none' | 'deferred' | 'open' = 'none';
  /** Sent with the next statement. */
  private deferred: Statement[] = [];

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

  async defer(sql: string, parameters: readonly SqlValue[] = []): Promise<void> {
    if (this.transaction === 'none' || this.defers !== 'all') {
      await this.send(sql, parameters);
      return;
    }
    const statement = this.logged(sql, parameters);
    if (!this.fitsWithDeferred(statement)) await this.sendDeferred();
    this.deferred.push(statement);
  }

  /** Ends a transaction that is open; the first error is the one to report, so that none is thrown here. */
  async rollBack(): Promise<void> {
    this.deferred = [];
    if (this.transaction === 'deferred') this.transaction = 'none';
    if (this.transaction === 'none' || this.isDiscarded) return;
    try {
      await this.sendRollBack();
      this.transaction = 'none';
    } catch {
      // the connection is gone, or is closed when it is released
    }
  }

  /** Gives the connection back to the pool as it was; one that cannot be is closed, and the pool makes another. */
  async release(): Promise<void> {
    if (!this.isDiscarded && this.transaction === 'none') await this.restore();
    // the next borrower would be in the same transaction, and would end it
    if (this.transaction !== 'none') this.discard();
    await this.runner.release();
  }

  /** Leaves the connection to the host, in its transaction. */
  async leave(): Promise<void> {
    if (!this.isDiscarded) await this.restore();
  }

  /**
   * Sends a message whose text is complete, and takes the driver's answer.
   *
   * @param statements how many the message holds
   */
  protected abstract ask(message: string, statements: number): Promise<unknown>;
  protected abstract sendRollBack(): Promise<unknown>;
  /** Takes the connection out of the pool permanently. */
  protected abstract close(error?: Error): void;

  /** Sets back what was set for this module. */
  protected async restore(): Promise<void> {
    // nothing was
  }

  /** @param canWait whether it may be sent with the next statement */
  protected async begin(sql: string, canWait: boolean): Promise<void> {
    if (canWait && this.defers !== 'nothing') {
      this.transaction = 'deferred';
      this.deferred.push(this.logged(sql, []));
    } else {
      this.transaction = 'open';
      await this.send(sql);
    }
  }

  protected async end(sql: string): Promise<unknown> {
    const answer = await this.send(sql);
    this.transaction = 'none';
    return answer;
  }

  /** @param ask sends the statement, in place of {@link ask} */
  protected async send<T = unknown>(
    sql: string,
    parameters: readonly SqlValue[] = [],
    ask?: (sql: string) => Promise<T>,
  ): Promise<T> {
    const statement = this.logged(sql, parameters);
    if (ask !== undefined || !this.fitsWithDeferred(statement)) await this.sendDeferred();
    return this.sendAll([...this.deferred.splice(0), statement], ask);
  }

  private logged(sql: string, parameters: readonly SqlValue[]): Statement {
    this.dataSource.logger.logQuery(sql, [...parameters], this.runner);
    return { sql, parameters, text: withLiterals(sql, parameters, this.syntax) };
  }

  private fitsWithDeferred({ text }: Statement): boolean {
    const most = Math.min(CHARACTERS_PER_MESSAGE, this.textLimits.perStatement);
    return this.deferred.reduce((sum, one) => sum + one.text.length, text.length) <= most;
  }

  private async sendDeferred(): Promise<void> {
    if (this.deferred.length > 0) await this.sendAll(this.deferred.splice(0));
  }

  /** Sends statements in one message, and takes the driver's answer. */
  private async sendAll<T>(
    statements: readonly Statement[],
    ask?: (sql: string) => Promise<T>,
  ): Promise<T> {
    const { logger } = this.dataSource;
    const { maxQueryExecutionTime } = this.dataSource.options;
    // only for a log: it may be as long as the message
    const sql = () => statements.map((one) => one.sql).join('; ');
    const parameters = () => statements.flatMap((one) => one.parameters);
    if (this.transaction === 'deferred') this.transaction = 'open';
    const begun = maxQueryExecutionTime ? performance.now() : 0;
    try {
      // not join(), which copies
      const message = statements
        .slice(1)
        .reduce((all, { text }) => `${all}; ${text}`, statements[0]?.text ?? '');
      return await this.answer(message, ask, statements.length);
    } catch (error) {
      if (!(error instanceof NoAnswerError)) {
        logger.logQueryError(error as Error, sql(), parameters(), this.runner);
      }
      throw asFailedQuery(error as Error, sql(), parameters());
    } finally {
      if (maxQueryExecutionTime) {
        const took = performance.now() - begun;
        if (took > maxQueryExecutionTime)
          logger.logQuerySlow(took, sql(), parameters(), this.runner);
      }
    }
  }

  /** Without the host's log. @throws NoAnswerError when the answer does not come in time; the connection is closed then */
  protected answer<T = unknown>(
    message: string,
    ask?: (sql: string) => Promise<T>,
    statements = 1,
  ): Promise<T> {
    const asked = ask ? ask(message) : (this.ask(message, statements) as Promise<T>);
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
