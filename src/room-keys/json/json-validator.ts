/** Maximum nesting depth of JSON: real keys have two levels, and clients have to parse them in a restore. */
export const MAX_JSON_DEPTH = 1000;

/** What is wrong with a text that should be JSON. */
export type JsonFault = 'not JSON' | 'too deep' | 'too many values';

interface JsonLimits {
  /** Maximum nesting depth of arrays and objects. Default: {@link MAX_JSON_DEPTH}. */
  maxDepth?: number;
  /** Maximum number of values; an empty array or object counts as two. Unlimited if not set. */
  maxValues?: number;
}

/**
 * Checks that a text is valid JSON, as JSON.parse does, without building its values: for many small values that takes
 * many times the memory of the text, and several times as long. One pass, with memory for the depth only.
 *
 * @returns the first fault, undefined for valid JSON within the limits
 */
export function findJsonFault(
  text: string,
  { maxDepth = MAX_JSON_DEPTH, maxValues = Infinity }: JsonLimits = {},
): JsonFault | undefined {
  /** The closing bracket of each open array or object. */
  const closing = new Uint8Array(maxDepth);
  let depth = 0;
  let values = 1;
  let at = skipSpace(text, 0);
  // each iteration begins at a value
  for (;;) {
    const first = text.charCodeAt(at);
    if (first === OPEN_BRACE || first === OPEN_BRACKET) {
      if (depth === maxDepth) return 'too deep';
      if (++values > maxValues) return 'too many values';
      // in ASCII, the code of a closing bracket is that of the opening one plus 2
      closing[depth] = first + 2;
      at = skipSpace(text, at + 1);
      if (text.charCodeAt(at) !== first + 2) {
        depth++;
        if (first === OPEN_BRACE) at = endOfName(text, at);
        if (at === FAULT) return 'not JSON';
        continue;
      }
      at++;
    } else {
      at = endOfScalar(text, at, first);
      if (at === FAULT) return 'not JSON';
    }
    for (;;) {
      at = skipSpace(text, at);
      if (depth === 0) return at === text.length ? undefined : 'not JSON';
      const next = text.charCodeAt(at);
      const close = closing[depth - 1];
      at++;
      if (next === COMMA) {
        if (++values > maxValues) return 'too many values';
        at = skipSpace(text, at);
        if (close === CLOSE_BRACE) at = endOfName(text, at);
        if (at === FAULT) return 'not JSON';
        break;
      }
      if (next !== close) return 'not JSON';
      depth--;
    }
  }
}

const FAULT = -1;

const SPACE = 0x20;
const QUOTE = 0x22;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
/** The bit that differs between upper and lower case. */
const CASE = 0x20;

const LETTER = { a: 0x61, b: 0x62, e: 0x65, f: 0x66, n: 0x6e, r: 0x72, t: 0x74, u: 0x75 };

// Each of the following returns the index after the token that begins at `at`, or FAULT. Beyond the end of the text
// charCodeAt returns NaN, which is neither equal to nor greater than any number.

function skipSpace(text: string, at: number): number {
  for (; ; at++) {
    const c = text.charCodeAt(at);
    if (c !== SPACE && c !== 0x0a && c !== 0x0d && c !== 0x09) return at;
  }
}

/** A name, its colon, and the space after it. */
function endOfName(text: string, at: number): number {
  if (text.charCodeAt(at) !== QUOTE) return FAULT;
  const end = endOfString(text, at);
  if (end === FAULT) return FAULT;
  const colon = skipSpace(text, end);
  return text.charCodeAt(colon) === COLON ? skipSpace(text, colon + 1) : FAULT;
}

function endOfScalar(text: string, at: number, first: number): number {
  switch (first) {
    case QUOTE:
      return endOfString(text, at);
    case LETTER.t:
      return text.startsWith('true', at) ? at + 4 : FAULT;
    case LETTER.f:
      return text.startsWith('false', at) ? at + 5 : FAULT;
    case LETTER.n:
      return text.startsWith('null', at) ? at + 4 : FAULT;
    default:
      return endOfNumber(text, at);
  }
}

function endOfString(text: string, start: number): number {
  for (let at = start + 1; ; at++) {
    const c = text.charCodeAt(at);
    if (c === QUOTE) return at + 1;
    if (c === BACKSLASH) {
      const last = endOfEscape(text, at + 1);
      if (last === FAULT) return FAULT;
      at = last;
    } else if (!(c >= SPACE)) return FAULT;
  }
}

/** The index of the last character of an escape whose backslash is before `at`. */
function endOfEscape(text: string, at: number): number {
  switch (text.charCodeAt(at)) {
    case QUOTE:
    case BACKSLASH:
    case 0x2f: // a slash
    case LETTER.b:
    case LETTER.f:
    case LETTER.n:
    case LETTER.r:
    case LETTER.t:
      return at;
    case LETTER.u:
      for (let digit = at + 1; digit <= at + 4; digit++) {
        if (!isHexDigit(text.charCodeAt(digit))) return FAULT;
      }
      return at + 4;
    default:
      return FAULT;
  }
}

function endOfNumber(text: string, start: number): number {
  let at = text.charCodeAt(start) === MINUS ? start + 1 : start;
  // a leading zero ends the integer part: a digit after it is a fault in the caller
  at = text.charCodeAt(at) === ZERO ? at + 1 : endOfDigits(text, at);
  if (at !== FAULT && text.charCodeAt(at) === POINT) at = endOfDigits(text, at + 1);
  if (at !== FAULT && (text.charCodeAt(at) | CASE) === LETTER.e) {
    const sign = text.charCodeAt(at + 1);
    at = endOfDigits(text, sign === PLUS || sign === MINUS ? at + 2 : at + 1);
  }
  return at;
}

/** At least one digit. */
function endOfDigits(text: string, start: number): number {
  let at = start;
  while (isDigit(text.charCodeAt(at))) at++;
  return at === start ? FAULT : at;
}

const isDigit = (c: number) => c >= ZERO && c <= NINE;

const isHexDigit = (c: number) => isDigit(c) || ((c | CASE) >= LETTER.a && (c | CASE) <= LETTER.f);
