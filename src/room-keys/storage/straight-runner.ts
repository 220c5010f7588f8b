import type { PoolConnection, QueryOptions, ResultSetHeader } from 'mysql2';
import {
  type DataSource,
  QueryFailedError,
  type QueryRunner,
  QueryRunnerAlreadyReleasedError,
} from 'typeorm';
import { BorrowedConnection, patience } from './borrowed-connection.js';
import { familyOf } from './database-family.js';

type Ask = (sql: string, parameters?: unknown[], structured?: boolean) => Promise<unknown>;

/**
 * A query runner of the primary that waits for MySQL and MariaDB within bounds, and whose statements go
 * straight to mysql2. An upload is half a dozen of them, and what TypeORM and mysql2's promises do around
 * each took a fifth of this process's time for an upload of one key. Transactions, log and errors are
 * TypeORM's still; and where the host asks it for more, events for subscribers or the times of queries,
 * so are the statements.
 *
 * @param patienceMs how long a statement may wait for its answer, in milliseconds
 */
export function straightRunner(
  dataSource: DataSource,
  patienceMs = patience.requestMs,
): QueryRunner {
  const runner = dataSource.createQueryRunner('master');
  if (familyOf(dataSource.options.type) === 'sqlite') return runner;
  const borrowed = new BorrowedConnection(runner, patienceMs);
  const ask: Ask = isPlain(dataSource)
    ? (sql, parameters, structured) => query(runner, sql, parameters, structured)
    : (runner.query.bind(runner) as Ask);
  return Object.assign(runner, {
    connect: () => borrowed.connect(),
    release: () => borrowed.release(),
    query: async (...statement: Parameters<Ask>) => {
      if (runner.isReleased) throw new QueryRunnerAlreadyReleasedError();
      await borrowed.connect();
      try {
        return await borrowed.answer(ask(...statement));
      } catch (error) {
        throw withCode(error as DriverError);
      }
    },
  });
}

type DriverError = Error & { fatal?: boolean; code?: string; errno?: number };

/** What MariaDB, and proxies that speak for a server, say of a statement, and mysql2 has no name for. */
const CODES: Readonly<Record<number, string>> = {
  1927: 'ER_CONNECTION_KILLED',
  1969: 'ER_STATEMENT_TIMEOUT',
  2003: 'CR_CONN_HOST_ERROR',
  2006: 'CR_SERVER_GONE_ERROR',
  2013: 'CR_SERVER_LOST',
  9001: 'PROXYSQL_CONNECT_TIMEOUT',
};

/** mysql2 has no code for a statement on a connection that was lost before it either. */
function withCode(error: DriverError): DriverError {
  if (error.code !== undefined) return error;
  const code = CODES[error.errno ?? 0] ?? (error.fatal ? 'PROTOCOL_CONNECTION_LOST' : undefined);
  return code === undefined ? error : Object.assign(error, { code });
}

function isPlain({ options, subscribers }: DataSource): boolean {
  return !options.maxQueryExecutionTime && subscribers.length === 0;
}

async function query(
  runner: QueryRunner,
  sql: string,
  parameters: unknown[] = [],
  structured = false,
): Promise<unknown> {
  const { logger } = runner.dataSource;
  const connection = (await runner.connect()) as PoolConnection;
  logger.logQuery(sql, parameters, runner);
  try {
    const raw = await answerOf(connection, sql, parameters);
    return structured ? { raw, affected: (raw as ResultSetHeader).affectedRows } : raw;
  } catch (error) {
    logger.logQueryError(error as Error, sql, parameters, runner);
    throw new QueryFailedError(sql, parameters, error as Error);
  }
}

function answerOf(
  connection: PoolConnection,
  sql: string,
  parameters: readonly unknown[],
): Promise<unknown> {
  // Without values the driver looks for no placeholders: it would go through all keys of an upload.
  const isText = parameters.length === 0 && !connection.config.queryFormat;
  const options = isText
    ? { sql, values: null, namedPlaceholders: false }
    : { sql, values: parameters as QueryOptions['values'] };
  return new Promise((resolve, reject) => {
    connection.query(options, (error, result) => {
      if (error) reject(error);
      else resolve(result);
    });
  });
}
