/** Values as literals in the text of a statement. */
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

/**
 * Literals that mean the same whatever `standard_conforming_strings`, `backslash_quote` and `bytea_output` of a
 * session are: one with a backslash is an escape string, and none has a quote or a byte beyond ASCII, so that none
 * depends on `client_encoding`.
 */
export const postgresSyntax: ValueSyntax = {
  placeholders: false,
  hex: (digits) => `E'\\\\x${digits}'::bytea`,
  ascii: (text) => {
    const isPlain =
      !text.includes("'") && !text.includes('\\') && Buffer.byteLength(text) === text.length;
    // to double each of millions of quotes takes twenty times the memory of the text
    return isPlain
      ? `'${text}'`
      : `convert_from(E'\\\\x${Buffer.from(text).toString('hex')}'::bytea, 'UTF8')`;
  },
  // without a backslash the input of bytea is the text itself
  plainBytes: (text) => `'${text}'::bytea`,
};

/** The bytes of a value of type bytea, in either form of `bytea_output`. */
export function parseBytea(text: string): Buffer {
  if (text.startsWith('\\x')) return Buffer.from(text.slice(2), 'hex');
  const plain = text.replace(/\\(\\|[0-7]{3})/g, (_all, escaped: string) =>
    escaped === '\\' ? '\\' : String.fromCharCode(parseInt(escaped, 8)),
  );
  return Buffer.from(plain, 'latin1');
}
