import type { DataSource, QueryRunner } from 'typeorm';

/**
 * Runs a statement that is written as for MySQL, with `?` for parameters, backticks around names and `x'00'` for
 * bytes, on any database. None of them must stand within a literal.
 */
export function query<T extends object>(
  on: DataSource | QueryRunner,
  statement: string,
  parameters: readonly unknown[] = [],
): Promise<T[]> {
  const { type } = 'dataSource' in on ? on.dataSource.options : on.options;
  const text = type === 'postgres' ? asPostgres(statement) : statement;
  return on.query<T[]>(text, [...parameters]);
}

/** The number that a statement finds in its only row and column, `SELECT COUNT(*) …` for example. */
export async function numberOf(
  on: DataSource | QueryRunner,
  statement: string,
  parameters: readonly unknown[] = [],
): Promise<number> {
  const [row = {}] = await query(on, statement, parameters);
  return Number(Object.values(row)[0]);
}

function asPostgres(statement: string): string {
  let parameter = 0;
  return statement
    .replace(/[?`]/g, (found) => (found === '?' ? `$${(parameter += 1)}` : '"'))
    .replace(/\bx'(\w*)'/gi, "decode('$1', 'hex')");
}
