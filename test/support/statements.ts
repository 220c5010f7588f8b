import type { DataSource } from 'typeorm';

/** Records the statements that a DataSource runs, until `stop` is called. */
export function recordStatements(dataSource: DataSource): {
  statements: string[];
  stop: () => void;
} {
  const statements: string[] = [];
  const before = dataSource.logger;
  dataSource.logger = new Proxy(before, {
    get: (logger, name, receiver): unknown =>
      name === 'logQuery'
        ? (query: string) => statements.push(query)
        : Reflect.get(logger, name, receiver),
  });
  return {
    statements,
    stop: () => {
      dataSource.logger = before;
    },
  };
}
