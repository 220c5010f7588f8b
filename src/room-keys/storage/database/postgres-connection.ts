import type { PoolClient, QueryResult } from 'pg';
import type { DataSource, QueryRunner } from 'typeorm';
import type { Row, SqlValue, TextLimits, Written } from './connection.js';
import { postgresCode, READ_ONLY, takesNoWrites } from './errors.js';
import { LentConnection } from './lent-connection.js';
import { canCopy, copiedRows } from './postgres-copy.js';
import { ByteRows, type RawRows, type RowShape } from './raw-rows.js';
import { postgresSyntax } from './sql-values.js';
import { timeouts } from './timeouts.js';

/** What every database takes: PostgreSQL itself 1 GB. */
const MOST_CHARACTERS = 256 * 1024 * 1024;
/** Characters of one value per statement: bounds the memory and the time that its literal takes. */
const CHARACTERS_PER_STATEMENT = 4 * 1024 * 1024;

/** Time limits of one transaction in milliseconds, 0 for none. PostgreSQL 17 has one more. */
export const timeLimits = (lockMs: number, statementMs: number, idleMs: number) =>
  `set_config('lock_timeout', '${lockMs}', true), set_config('statement_timeout', '${statementMs}', true),
     set_config('idle_in_transaction_session_timeout', '${idleMs}', true),
     CASE WHEN current_setting('transaction_timeout', true) IS NULL THEN '' ELSE set_config('transaction_timeout', '0', true) END`;

/**
 * Settings for one transaction, whatever those of the role, the database or the session are, and whatever uses
 * the connection next: a pooler may give each transaction another one.
 *
 * Without statistics, as for some time after many keys were added, PostgreSQL would rather sort what is left of a
 * key set for each page or step than read on in an index: it sorts only what no index has in order. A plan with
 * such a cost must not be compiled.
 */
const settings = (...limits: Parameters<typeof timeLimits>) =>
  `SELECT set_config('client_min_messages', 'warning', true), ${timeLimits(...limits)},
     set_config('enable_sort', 'off', true), set_config('jit', 'off', true)`;

const WRITE = 'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE';
const beginToWrite = () =>
  `${WRITE}; ${settings(timeouts.lockMs, timeouts.statementMs, timeouts.statementMs)}`;
// a restore may stand still for as long as its client
const BEGIN_SNAPSHOT = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${settings(0, 0, 0)}`;

/**
 * A COMMIT of which one learns whether it waited for the standby: so does one of a transaction that has a number, as
 * each has that changed or locked a row.
 */
const CONFIRMING_COMMIT =
  'SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS has_number; COMMIT';

/** "WARNING". A COMMIT has one where its wait for a standby was cancelled. */
const WARNING = '01000';
const TRANSACTION_RESOLUTION_UNKNOWN = '08007';
/** What a standby says of a transaction that is to write. */
const FEATURE_NOT_SUPPORTED = '0A000';

/** What is known of a connection for as long as it is open. */
export interface PostgresSession {
  /** When it was lent last. */
  usedAt: number;
  readsAreConfirmed: boolean;
}

/** What concerns all connections of a pool. */
export interface PostgresPool {
  /** One leads nowhere. */
  onNoAnswer: () => void;
  /** The database may show what its standby lacks. */
  onUnconfirmed: () => void;
}

/** Of bytes; everything else comes as text, whatever parsers the host has set for its own statements. */
const BYTEA = 17;
const types = {
  getTypeParser: (type: number) => (type === BYTEA ? parseBytea : (text: string) => text),
};

/** The bytes of a value of type bytea, in either form of `bytea_output`. */
function parseBytea(text: string): Buffer {
  if (text.startsWith('\\x')) return Buffer.from(text.slice(2), 'hex');
  const plain = text.replace(/\\(\\|[0-7]{3})/g, (_all, escaped: string) =>
    escaped === '\\' ? '\\' : String.fromCharCode(parseInt(escaped, 8)),
  );
  return Buffer.from(plain, 'latin1');
}

/** A result, or one for each statement of a message. */
type Answer = QueryResult<Row> | QueryResult<Row>[];

const lastOf = (answer: Answer): QueryResult<Row> => {
  const last = [answer].flat().at(-1);
  if (!last) throw new Error('The driver returned no result.');
  return last;
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
    private readonly session: PostgresSession,
    private readonly pool: PostgresPool,
  ) {
    super(dataSource, runner, timeoutMs, postgresSyntax);
  }

  protected readonly defers = 'all';

  get readsAreConfirmed(): boolean {
    return this.session.readsAreConfirmed;
  }

  /** @throws where the server is a standby, which lags behind; the connection is closed then */
  async checkPrimary(): Promise<void> {
    const { rows } = await this.answer<QueryResult<Row>>(
      'SELECT pg_is_in_recovery()::int AS standby',
    );
    if (rows[0]?.standby !== '1') return;
    this.discard();
    throw new StandbyError();
  }

  async rows(sql: string, parameters?: readonly SqlValue[]): Promise<Row[]> {
    return lastOf(await this.send<Answer>(sql, parameters)).rows;
  }

  async rawRows(sql: string, parameters: readonly SqlValue[], shape: RowShape): Promise<RawRows> {
    const { client } = this;
    if (canCopy(client)) {
      return this.send(sql, parameters, (text) =>
        this.checked(text, copiedRows(client, text, shape)),
      );
    }
    const rows = new ByteRows(shape);
    for (const row of await this.rows(sql, parameters)) {
      for (const value of Object.values(row) as (string | Buffer)[]) {
        if (rows.expectsInteger) rows.addInteger(Number(value));
        else rows.addBytes(value);
      }
    }
    return rows;
  }

  async execute(sql: string, parameters?: readonly SqlValue[]): Promise<Written> {
    const { rowCount, rows } = lastOf(await this.send<Answer>(sql, parameters));
    const [returned] = Object.values(rows[0] ?? {});
    return { affected: rowCount ?? 0, insertId: Number(returned ?? 0) };
  }

  beginToWrite(): Promise<void> {
    return this.begin(beginToWrite(), true);
  }

  beginSnapshot(): Promise<void> {
    return this.begin(BEGIN_SNAPSHOT, false);
  }

  async commit(): Promise<void> {
    const { client, session } = this;
    const notices = new Set<string | undefined>();
    const onNotice = ({ code }: { code: string | undefined }) => notices.add(code);
    client.on('notice', onNotice);
    try {
      const isConfirming = !session.readsAreConfirmed;
      const answer = (await this.end(isConfirming ? CONFIRMING_COMMIT : 'COMMIT')) as Answer;
      // the answer to COMMIT in a transaction in which a statement failed, and no error
      if (lastOf(answer).command !== 'COMMIT')
        throw new Error('The database rolled the transaction back.');
      if (notices.has(WARNING)) {
        this.pool.onUnconfirmed();
        throw new UnconfirmedError();
      }
      const confirming = isConfirming ? [answer].flat().at(-2) : undefined;
      if (confirming?.rows[0]?.has_number === 't') session.readsAreConfirmed = true;
    } finally {
      client.off('notice', onNotice);
    }
  }

  protected sendRollBack(): Promise<unknown> {
    return this.send('ROLLBACK');
  }

  protected close(error?: Error): void {
    // its socket is closed at once where an answer is waited for, and the pool drops it when it is released
    this.client.end().catch(() => undefined);
    if (error) this.pool.onNoAnswer();
  }

  protected ask(message: string): Promise<unknown> {
    return this.checked(message, this.client.query({ text: message, types }));
  }

  private async checked<T>(sql: string, answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      const isStandby =
        sql.startsWith(WRITE) && (error as { code?: string }).code === FEATURE_NOT_SUPPORTED;
      const code = isStandby ? READ_ONLY : postgresCode(error as Error);
      if (code !== undefined) Object.assign(error as Error, { code });
      // a server that was the primary once may stay reachable: the next connection finds the one that is
      if (takesNoWrites(error)) this.discard();
      throw error;
    }
  }
}

/** As a statement that writes would fail on a standby. */
export class StandbyError extends Error {
  readonly code = READ_ONLY;

  constructor() {
    super('The database server is a standby, which takes no writes. Connect to the primary.');
  }
}

/** The transaction is committed, and a failover would lose it. */
class UnconfirmedError extends Error {
  readonly code = TRANSACTION_RESOLUTION_UNKNOWN;

  constructor() {
    super('The wait of a commit for the standby was cancelled.');
  }
}
