import type { SqlValue } from './connection.js';
import { integerLiteral, type ValueSyntax } from './sql-values.js';

/** Puts the values in the place of the `?` of a statement, which has none in its literals. */
export function withLiterals(
  sql: string,
  parameters: readonly SqlValue[],
  syntax: ValueSyntax,
): string {
  if (parameters.length === 0) return sql;
  const pieces = sql.split('?');
  if (pieces.length !== parameters.length + 1) {
    throw new TypeError(`${parameters.length} values for ${pieces.length - 1} placeholders.`);
  }
  return pieces.reduce(
    (text, piece, n) => text + literal(parameters[n - 1] ?? null, syntax) + piece,
  );
}

function literal(value: SqlValue, syntax: ValueSyntax): string {
  if (value === null) return 'NULL';
  if (typeof value === 'number') return integerLiteral(value);
  if (typeof value === 'string') return syntax.ascii(value);
  return syntax.hex(value.toString('hex'));
}
