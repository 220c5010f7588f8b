/** JSON that is read without being parsed: values that are opaque to the server are stored as they were written. */
import { ValidateBy } from 'class-validator';

/** Reads valid JSON, with what JSON.parse loses: the text of a value, and duplicate names. */
export class JsonCursor {
  /** Whether the whole text is ASCII. */
  private readonly isAscii: boolean;
  private at = 0;

  /** @param text valid JSON, checked with `findJsonFault` */
  constructor(private readonly text: string) {
    this.isAscii = Buffer.byteLength(text) === text.length;
  }

  /** Whether an object comes next. */
  get isObject(): boolean {
    this.skipSpace();
    return this.text.charCodeAt(this.at) === OPEN_BRACE;
  }

  /**
   * Reads the next value, an object, and calls `member` with the name of each member in turn.
   * `member` may read the value; otherwise it is skipped.
   */
  object(member: (name: string) => void): void {
    this.skipSpace();
    this.at++;
    for (;;) {
      this.skipSpace();
      if (this.text.charCodeAt(this.at) === CLOSE_BRACE) break;
      const name = this.string();
      this.skipSpace();
      this.at++; // the colon
      this.skipSpace();
      const before = this.at;
      member(name);
      if (this.at === before) this.value();
      this.skipSpace();
      if (this.text.charCodeAt(this.at) !== COMMA) break;
      this.at++;
    }
    this.at++;
  }

  /** Reads the next value; returns its text unchanged. */
  value(): string {
    this.skipSpace();
    const start = this.at;
    const first = this.text.charCodeAt(start);
    if (first === QUOTE) this.at = endOfString(this.text, start);
    else if (first === OPEN_BRACE || first === OPEN_BRACKET) this.skipNested();
    else while (this.at < this.text.length && !endsScalar(this.text.charCodeAt(this.at))) this.at++;
    return this.text.slice(start, this.at);
  }

  /** Reads the next value, to be kept. */
  raw(): RawJson {
    return new RawJson(this.value(), this.isAscii);
  }

  /** Reads the next value; NaN if it is not a number. */
  number(): number {
    return Number(this.value());
  }

  /** Reads the next value; undefined if it is neither true nor false. */
  boolean(): boolean | undefined {
    const value = this.value();
    return value === 'true' ? true : value === 'false' ? false : undefined;
  }

  private string(): string {
    const start = this.at;
    this.at = endOfString(this.text, start);
    const string = this.text.slice(start, this.at);
    return string.includes('\\') ? (JSON.parse(string) as string) : string.slice(1, -1);
  }

  private skipNested(): void {
    let depth = 0;
    do {
      const c = this.text.charCodeAt(this.at);
      if (c === QUOTE) {
        this.at = endOfString(this.text, this.at);
        continue;
      }
      if (c === OPEN_BRACE || c === OPEN_BRACKET) depth++;
      else if (c === CLOSE_BRACE || c === CLOSE_BRACKET) depth--;
      this.at++;
      // brackets are balanced in valid JSON; the second condition keeps a bug from looping for ever
    } while (depth > 0 && this.at < this.text.length);
  }

  private skipSpace(): void {
    while (isSpace(this.text.charCodeAt(this.at))) this.at++;
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** The index after the closing quote of the string that starts at `start`; the end of the text without one. */
function endOfString(text: string, start: number): number {
  for (
    let quote = text.indexOf('"', start + 1);
    quote !== -1;
    quote = text.indexOf('"', quote + 1)
  ) {
    let before = quote - 1;
    while (text.charCodeAt(before) === BACKSLASH) before--;
    // after an even number of backslashes, which escape each other, the quote is not escaped
    if ((quote - before) % 2 === 1) return quote + 1;
  }
  return text.length;
}

const isSpace = (c: number) => c === 0x20 || c === 0x0a || c === 0x0d || c === 0x09;

const endsScalar = (c: number) =>
  c === COMMA || c === CLOSE_BRACE || c === CLOSE_BRACKET || isSpace(c);

/** The text of a JSON value that is opaque to the server and stored unchanged. */
export class RawJson {
  /** @param isAscii true if it is known to be ASCII, which saves looking */
  constructor(
    readonly text: string,
    private readonly isAscii = false,
  ) {}

  get isObject(): boolean {
    return this.text.startsWith('{');
  }

  /** See {@link toAscii}. */
  get ascii(): string {
    return this.isAscii ? this.text : toAscii(this.text);
  }
}

/** Checks that the property is a {@link RawJson} that holds an object. */
export const IsJsonObject = (): PropertyDecorator =>
  ValidateBy({
    name: 'isJsonObject',
    validator: {
      validate: (value: unknown) => value instanceof RawJson && value.isObject,
      defaultMessage: () => '$property must be an object',
    },
  });

/**
 * Escapes all characters beyond ASCII as `\uXXXX`: the same JSON value, independent of the character
 * set of a connection to the database.
 *
 * Linear in time and memory for any characters: it works in chunks, since a string for each escaped part took seconds and
 * hundreds of megabytes for millions of them.
 */
export function toAscii(json: string): string {
  if (Buffer.byteLength(json) === json.length) return json;
  const units = new Uint16Array(Math.min(json.length, PIECE_UNITS));
  const unitBytes = Buffer.from(units.buffer);
  const ascii = Buffer.allocUnsafe(units.length * ESCAPE_LENGTH);
  let result = '';
  for (let at = 0; at < json.length; at += PIECE_UNITS) {
    const written = unitBytes.write(json.slice(at, at + PIECE_UNITS), 'utf16le');
    const length = writeAscii(units.subarray(0, written / 2), ascii);
    result += ascii.toString('latin1', 0, length);
  }
  return result;
}

/** UTF-16 units in a chunk. */
const PIECE_UNITS = 32 * 1024;

const ESCAPE_LENGTH = '\\uXXXX'.length;
const LAST_ASCII = 0x7f;
const U = 0x75;
const DIGITS = Buffer.from('0123456789abcdef');

/** In JSON only strings contain characters beyond ASCII, so no parsing is needed. @returns the number of bytes written */
function writeAscii(units: Uint16Array, ascii: Buffer): number {
  let at = 0;
  for (const unit of units) {
    if (unit <= LAST_ASCII) {
      ascii[at++] = unit;
      continue;
    }
    ascii[at++] = BACKSLASH;
    ascii[at++] = U;
    for (let shift = 12; shift >= 0; shift -= 4) ascii[at++] = DIGITS[(unit >> shift) & 15] ?? 0;
  }
  return at;
}
