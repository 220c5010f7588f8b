import type { SqlValue } from './connection.js';
import { integerLiteral, type ValueSyntax } from './sql-values.js';

/**
 * No literal has a backslash, so that none depends on NO_BACKSLASH_ESCAPES in the `sql_mode` of a session, and
 * none has a byte beyond ASCII, so that none depends on its character set.
 */
export const mysqlSyntax: ValueSyntax = {
  placeholders: false,
  hex: (digits) => `X'${digits}'`,
  ascii: (text) => {
    const isPlain =
      !text.includes("'") && !text.includes('\\') && Buffer.byteLength(text) === text.length;
    // the introducer makes text of the bytes for any character set of the connection
    return isPlain ? `'${text}'` : `_utf8mb4 X'${Buffer.from(text).toString('hex')}'`;
  },
  // the introducer makes them bytes for any character set of the connection
  plainBytes: (text) => `_binary'${text}'`,
};

/** Puts the values in the place of the `?` of a statement, which has none in its literals. */
export function withLiterals(sql: string, parameters: readonly SqlValue[]): string {
  if (parameters.length === 0) return sql;
  const pieces = sql.split('?');
  if (pieces.length !== parameters.length + 1) {
    throw new TypeError(`${parameters.length} values for ${pieces.length - 1} placeholders.`);
  }
  return pieces.reduce((text, piece, n) => text + literal(parameters[n - 1] ?? null) + piece);
}

function literal(value: SqlValue): string {
  if (value === null) return 'NULL';
  if (typeof value === 'number') return integerLiteral(value);
  if (typeof value === 'string') return mysqlSyntax.ascii(value);
  return mysqlSyntax.hex(value.toString('hex'));
}
