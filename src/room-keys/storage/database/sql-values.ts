import type { SqlValue } from './connection.js';

/** How a database writes values: see {@link SqlValues}. */
export interface ValueSyntax {
  /** Whether each value is a placeholder, so that the statement's text stays the same. */
  readonly placeholders: boolean;
  /** The literal of bytes, given as hexadecimal digits. */
  hex(digits: string): string;
  /** The literal of text in ASCII, whatever it holds and whatever the modes of the session are. */
  ascii(text: string): string;
  /** The bytes of a text of letters, digits and `+/=-_` only. */
  plainBytes(text: string): string;
}

/**
 * The values of one statement with hundreds of rows: literals where the driver's own formatting takes as long
 * as the parsing of an upload's body, placeholders elsewhere.
 *
 * In a template, the values must be read in the order in which they appear.
 */
export class SqlValues {
  /** The values of the placeholders. */
  readonly parameters: SqlValue[] = [];

  constructor(private readonly syntax: ValueSyntax) {}

  /** @param value a whole number that JavaScript holds exactly */
  integer(value: number): string {
    if (this.syntax.placeholders) return this.placeholder(value);
    return integerLiteral(value);
  }

  /** @param digits bytes, as hexadecimal digits */
  hex(digits: string): string {
    if (this.syntax.placeholders) return this.placeholder(Buffer.from(digits, 'hex'));
    return this.syntax.hex(digits);
  }

  /** The bytes of a text in UTF-8. */
  bytesOf(value: string): string {
    if (this.syntax.placeholders) return this.placeholder(Buffer.from(value));
    // half as long as in hexadecimal digits
    if (PLAIN.test(value)) return this.syntax.plainBytes(value);
    return this.syntax.hex(Buffer.from(value).toString('hex'));
  }

  /** Text in ASCII, or null. */
  ascii(value: string | null): string {
    if (this.syntax.placeholders) return this.placeholder(value);
    return value === null ? 'NULL' : this.syntax.ascii(value);
  }

  private placeholder(value: SqlValue): string {
    this.parameters.push(value);
    return '?';
  }
}

/** @throws TypeError for a number that is not whole, or that JavaScript does not hold exactly */
export function integerLiteral(value: number): string {
  if (!Number.isSafeInteger(value)) throw new TypeError('Not a whole number.');
  return String(value);
}

/** Base64 in either alphabet, which ids mostly are; an id is at most 255 bytes long. */
const PLAIN = /^[\w+/=-]+$/;
