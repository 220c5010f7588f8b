import type { DatabaseFamily } from './database-family.js';

/**
 * The values of one statement. On SQLite each becomes a placeholder, and keeps the statement's text
 * the same; on MySQL and MariaDB a literal, since the driver's own formatting, which looks at each
 * of an upload's thousand parameters for all that it might be, took as long as the parsing of its body.
 *
 * Put into a template, the values are asked for in the order in which they stand there.
 */
export class SqlValues {
  /** What takes the place of the placeholders. */
  readonly parameters: unknown[] = [];

  constructor(private readonly family: DatabaseFamily) {}

  /** @param value a whole number that JavaScript holds exactly */
  integer(value: number): string {
    if (this.family === 'sqlite') return this.placeholder(value);
    if (!Number.isSafeInteger(value)) throw new TypeError('Not a whole number.');
    return String(value);
  }

  /** @param digits bytes, as hexadecimal digits */
  hex(digits: string): string {
    return this.family === 'sqlite' ? this.placeholder(Buffer.from(digits, 'hex')) : `X'${digits}'`;
  }

  /** The bytes of a text in UTF-8. */
  bytesOf(value: string): string {
    // half as long as in hexadecimal digits; the introducer makes them bytes for any character set
    if (this.family === 'mysql' && PLAIN.test(value)) return `_binary'${value}'`;
    return this.hex(Buffer.from(value).toString('hex'));
  }

  /** Text, which on MySQL needs a `sql_mode` without NO_BACKSLASH_ESCAPES. */
  text(value: string): string {
    if (this.family === 'sqlite') return this.placeholder(value);
    // beyond ASCII, what it says would be up to the character set of the connection
    if (Buffer.byteLength(value) !== value.length) return `_utf8mb4 ${this.bytesOf(value)}`;
    const special = value.includes("'") || value.includes('\\');
    return special ? `'${value.replaceAll(/['\\]/g, String.raw`\$&`)}'` : `'${value}'`;
  }

  private placeholder(value: unknown): string {
    this.parameters.push(value);
    return '?';
  }
}

/** Base64 in either alphabet, which ids mostly are. */
const PLAIN = /^[\w+/=-]+$/;
