import { ValidateBy } from 'class-validator';

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
const BACKSLASH = 0x5c;
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
