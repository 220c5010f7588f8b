/** Levels that JSON may nest: real keys have two; what reads a restore has to bear them again. */
export const MAX_JSON_DEPTH = 1000;

/**
 * JSON text with all beyond ASCII as `\uXXXX`, which is the same JSON value, and survives whatever
 * character set a connection to the database has.
 */
export function toAscii(json: string): string {
  // only strings can hold such characters: the rest of JSON is ASCII
  return json.replace(/[^\0-\x7f]+/g, escaped);
}

const BACKSLASH = 0x5c;
const U = 0x75;
const DIGITS = Buffer.from('0123456789abcdef');

/** Written into bytes: a string for each of millions of characters took seconds. */
function escaped(text: string): string {
  const bytes = Buffer.allocUnsafe(6 * text.length);
  let at = 0;
  for (let n = 0; n < text.length; n++) {
    const unit = text.charCodeAt(n);
    bytes[at++] = BACKSLASH;
    bytes[at++] = U;
    for (let shift = 12; shift >= 0; shift -= 4) bytes[at++] = DIGITS[(unit >> shift) & 15] ?? 0;
  }
  return bytes.toString('latin1');
}
