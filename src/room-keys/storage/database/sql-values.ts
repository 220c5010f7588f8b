/** Values in the text of a statement: literals, which a database reads the same in any session, or placeholders. */
import type { SqlValue } from './connection.js';

/** How a database writes literals. */
export interface ValueSyntax {
  /** The literal of bytes, given as hexadecimal digits. */
  hex(digits: string): string;
  /** The literal of text in ASCII, whatever it holds and whatever the modes of the session are. */
  ascii(text: string): string;
  /** The bytes of a text of letters, digits and `+/=-_` only. */
  plainBytes(text: string): string;
}

/**
 * No literal has a backslash, so that none depends on NO_BACKSLASH_ESCAPES in the `sql_mode` of a session, and
 * none has a byte beyond ASCII, so that none depends on its character set.
 */
export const mysqlSyntax: ValueSyntax = {
  hex: (digits) => `X'${digits}'`,
  // the introducer makes text of the bytes for any character set of the connection
  ascii: (text) =>
    needsNoEscape(text) ? `'${text}'` : `_utf8mb4 X'${Buffer.from(text).toString('hex')}'`,
  // the introducer makes them bytes for any character set of the connection
  plainBytes: (text) => `_binary'${text}'`,
};

/**
 * Literals that mean the same whatever `standard_conforming_strings`, `backslash_quote` and `bytea_output` of a
 * session are: one with a backslash is an escape string, and none has a quote or a byte beyond ASCII, so that none
 * depends on `client_encoding`.
 */
export const postgresSyntax: ValueSyntax = {
  hex: (digits) => `E'\\\\x${digits}'::bytea`,
  // to double each of millions of quotes takes twenty times the memory of the text
  ascii: (text) =>
    needsNoEscape(text)
      ? `'${text}'`
      : `convert_from(E'\\\\x${Buffer.from(text).toString('hex')}'::bytea, 'UTF8')`,
  // without a backslash the input of bytea is the text itself
  plainBytes: (text) => `'${text}'::bytea`,
};

const needsNoEscape = (text: string): boolean =>
  !text.includes("'") && !text.includes('\\') && Buffer.byteLength(text) === text.length;

/**
 * The values of one statement with hundreds of rows: literals where the driver's own formatting takes as long
 * as the parsing of an upload's body, placeholders elsewhere.
 *
 * In a template, the values must be read in the order in which they appear.
 */
export class SqlValues {
  /** The values of the placeholders. */
  readonly parameters: SqlValue[] = [];

  /** @param syntax of literals; without it, each value is a placeholder, so that the statement's text stays the same */
  constructor(private readonly syntax?: ValueSyntax) {}

  /** @param value a whole number that JavaScript holds exactly */
  integer(value: number): string {
    return this.syntax ? integerLiteral(value) : this.placeholder(value);
  }

  /** @param digits bytes, as hexadecimal digits */
  hex(digits: string): string {
    return this.syntax?.hex(digits) ?? this.placeholder(Buffer.from(digits, 'hex'));
  }

  /** The bytes of a text in UTF-8. */
  bytesOf(value: string): string {
    if (!this.syntax) return this.placeholder(Buffer.from(value));
    // half as long as in hexadecimal digits
    if (PLAIN.test(value)) return this.syntax.plainBytes(value);
    return this.syntax.hex(Buffer.from(value).toString('hex'));
  }

  /** Text in ASCII. */
  ascii(value: string): string {
    return this.syntax?.ascii(value) ?? this.placeholder(value);
  }

  private placeholder(value: SqlValue): string {
    this.parameters.push(value);
    return '?';
  }
}

/** Base64 in either alphabet, which ids mostly are; an id is at most 255 bytes long. */
const PLAIN = /^[\w+/=-]+$/;

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

/** @throws TypeError for a number that is not whole, or that JavaScript does not hold exactly */
function integerLiteral(value: number): string {
  if (!Number.isSafeInteger(value)) throw new TypeError('Not a whole number.');
  return String(value);
}
