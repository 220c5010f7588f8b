import type { PoolClient, QueryResult } from 'pg';
import type { DataSource, QueryRunner } from 'typeorm';
import type { Row, SqlValue, TextLimits, Written } from './connection.js';
import { postgresCode, takesNoWrites } from './errors.js';
import { LentConnection } from './lent-connection.js';
import { parseBytea, postgresSyntax } from './postgres-literals.js';
import { timeouts } from './timeouts.js';

/** What every database takes: PostgreSQL itself 1 GB. */
const MOST_CHARACTERS = 256 * 1024 * 1024;
/** Characters of one value per statement: bounds the memory and the time that its literal takes. */
const CHARACTERS_PER_STATEMENT = 4 * 1024 * 1024;

/**
 * Settings for one transaction, whatever those of the role, the database or the session are, and whoever uses
 * the connection next: a pooler may give each transaction another one. PostgreSQL 17 has a time-out more.
 *
 * Without statistics, as for some time after many keys were added, PostgreSQL would rather sort what is left of a
 * key set for each page or step than read on in an index: it sorts only what no index has in order. A plan with
 * such a cost must not be compiled.
 */
const settings = (lockMs: number, statementMs: number, idleMs: number) =>
  `SELECT set_config('lock_timeout', '${lockMs}', true), set_config('statement_timeout', '${statementMs}', true),
     set_config('idle_in_transaction_session_timeout', '${idleMs}', true),
     CASE WHEN current_setting('transaction_timeout', true) IS NULL THEN '' ELSE set_config('transaction_timeout', '0', true) END,
     set_config('enable_sort', 'off', true), set_config('jit', 'off', true)`;

const beginToWrite = () =>
  `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; ${settings(timeouts.lockMs, timeouts.statementMs, timeouts.statementMs)}`;
// a restore may stand still for as long as its client
const BEGIN_SNAPSHOT = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${settings(0, 0, 0)}`;

/** Of bytes; everything else comes as text, whatever parsers the host has set for its own statements. */
const BYTEA = 17;
const types = {
  getTypeParser: (type: number) => (type === BYTEA ? parseBytea : (text: string) => text),
};

/** A connection of pg. */
export class PostgresConnection extends LentConnection {
  readonly textLimits: TextLimits = {
    perValue: MOST_CHARACTERS,
    perStatement: CHARACTERS_PER_STATEMENT,
  };

  constructor(
    dataSource: DataSource,
    runner: QueryRunner,
    timeoutMs: number,
    private readonly client: PoolClient,
    private readonly onNoAnswer: () => void,
  ) {
    super(dataSource, runner, timeoutMs, postgresSyntax);
  }

  async rows(sql: string, parameters?: readonly SqlValue[]): Promise<Row[]> {
    return ((await this.send(sql, parameters)) as QueryResult<Row>).rows;
  }

  async execute(sql: string, parameters?: readonly SqlValue[]): Promise<Written> {
    const { rowCount, rows } = (await this.send(sql, parameters)) as QueryResult<Row>;
    const [returned] = Object.values(rows[0] ?? {});
    return { affected: rowCount ?? 0, insertId: Number(returned ?? 0) };
  }

  beginToWrite(): Promise<void> {
    return this.begin(beginToWrite());
  }

  beginSnapshot(): Promise<void> {
    return this.begin(BEGIN_SNAPSHOT);
  }

  async commit(): Promise<void> {
    const { command } = (await this.end('COMMIT')) as QueryResult;
    // the answer to COMMIT in a transaction in which a statement failed, and no error
    if (command !== 'COMMIT') throw new Error('The database rolled the transaction back.');
  }

  protected sendRollBack(): Promise<unknown> {
    return this.send('ROLLBACK');
  }

  protected close(error?: Error): void {
    // its socket is closed at once where an answer is waited for, and the pool drops it when it is released
    this.client.end().catch(() => undefined);
    if (error) this.onNoAnswer();
  }

  protected async ask(sql: string): Promise<unknown> {
    try {
      return await this.client.query({ text: sql, types });
    } catch (error) {
      const code = postgresCode(error as Error);
      if (code !== undefined) Object.assign(error as Error, { code });
      // a server that was the primary once may stay reachable: the next connection finds the one that is
      if (takesNoWrites(error)) this.discard();
      throw error;
    }
  }
}
