import type { DataSource, QueryRunner } from 'typeorm';

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
