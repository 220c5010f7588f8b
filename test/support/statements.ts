import type { DataSource, QueryRunner } from 'typeorm';
import type { DatabaseName } from './databases.js';

/**
 * Statements by which a user is locked and the backup is read. In PostgreSQL a SELECT that waited for a lock shows
 * other tables as they were before it waited.
 */
export const LOCK_STATEMENTS: Record<DatabaseName, number> = {
  SQLite: 1,
  MariaDB: 1,
  MySQL: 1,
  PostgreSQL: 2,
};

/** Records the statements that a DataSource runs, by the runner that runs them, until `stop` is called. */
export function recordStatements(dataSource: DataSource): {
  byRunner: Map<QueryRunner | undefined, string[]>;
  stop: () => void;
} {
  const byRunner = new Map<QueryRunner | undefined, string[]>();
  const before = dataSource.logger;
  const logQuery = (query: string, _: unknown, runner?: QueryRunner) => {
    byRunner.set(runner, [...(byRunner.get(runner) ?? []), query]);
  };
  dataSource.logger = new Proxy(before, {
    get: (logger, name, receiver): unknown =>
      name === 'logQuery' ? logQuery : Reflect.get(logger, name, receiver),
  });
  return {
    byRunner,
    stop: () => {
      dataSource.logger = before;
    },
  };
}
