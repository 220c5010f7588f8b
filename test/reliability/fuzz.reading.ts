/** What a hostile input means by the specifications of HTTP and Matrix, where that is certain. */
import { METHODS } from 'node:http';
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import { MAX_BODY_BYTES } from './fuzz.bodies.js';
import { bytesOf, type Input } from './fuzz.inputs.js';
import type { Call, Expected, Model, Refusal } from './model.js';

/** How an input is to be answered. */
export type Reading =
  /** By what the model says of it; if its body is looked at, by one of these refusals in its place. */
  | { kind: 'call'; call: Call; bodyRefusals?: readonly Refusal[] | undefined }
  | { kind: 'preflight' }
  /** Its path is unknown. */
  | { kind: 'elsewhere' }
  /** It is no HTTP, or too large to be any: that is told, or nothing is. */
  | { kind: 'no HTTP'; statuses: readonly number[] }
  /** It never was whole: whatever is told, nothing may change. */
  | { kind: 'cut' }
  /** More than one answer would do. */
  | { kind: 'uncertain' };

const UNCERTAIN = { kind: 'uncertain' } as const;

/** Node's limit, and how far around it we do not count on it. */
const MAX_HEAD_BYTES = 16 * 1024;
const ABOUT = 2 * 1024;

/** Paths of the server that are none of the module's. */
const SERVER = /^\/(?:$|docs|health|metrics|favicon)/i;
const OURS = /^\/_matrix\/client\/(?:v3|r0|unstable)\/room_keys(?=\/|$)/;

/** @param nameOf whose a token is */
export function readingOf(input: Input, nameOf: (token: string) => string | undefined): Reading {
  const { head, bytes } = bytesOf(input);
  if (input.edits.length > 0) return UNCERTAIN;
  if (!isCertainHead(input)) return UNCERTAIN;
  if (input.cut) {
    const at = cutAt(bytes, input.cut.at);
    // where its body decides nothing, a request is whole as soon as its head is
    return at < head || ['PUT', 'POST'].includes(input.method) ? { kind: 'cut' } : UNCERTAIN;
  }
  const lengthOfHead = headLength(input);
  if (Math.abs(lengthOfHead - MAX_HEAD_BYTES) < ABOUT) return UNCERTAIN;
  if (lengthOfHead > MAX_HEAD_BYTES) return { kind: 'no HTTP', statuses: [431] };
  if (typeof input.framing === 'object') return UNCERTAIN;
  return readingOfRequest(input, nameOf);
}

/** How many of the bytes are sent before the connection is cut: never all of them. */
export const cutAt = (bytes: Buffer, thousandths: number) =>
  Math.floor((bytes.length * thousandths) / 1000);

const headLength = (input: Input) => bytesOf({ ...input, framing: 'none' }).bytes.length;

function isCertainHead({ method, target, http, headers, framing }: Input): boolean {
  return (
    METHODS.includes(method) &&
    method !== 'CONNECT' &&
    /^\/[!-~]*$/.test(target) &&
    !target.includes('#') &&
    (http === 'HTTP/1.1' || (http === 'HTTP/1.0' && framing !== 'chunks')) &&
    headers.length < 100 &&
    headers.every(
      ([name, value]) =>
        /^[\w-]+$/.test(name) && /^[\t\x20-\x7e\x80-\xff]*$/.test(value) && name !== 'Upgrade',
    )
  );
}

function readingOfRequest(input: Input, nameOf: (token: string) => string | undefined): Reading {
  const { method, target } = input;
  const [path = '', ...more] = target.split('?');
  const query = new URLSearchParams(more.join('?'));
  const [prefix] = OURS.exec(path) ?? [];
  if (prefix === undefined) {
    // in other letters it is a path that we refuse, and not a stranger's
    if (OURS.test(path.toLowerCase()))
      return method === 'OPTIONS' ? { kind: 'preflight' } : { kind: 'elsewhere' };
    return SERVER.test(path) || method === 'OPTIONS' || !isDecodable(path)
      ? UNCERTAIN
      : { kind: 'elsewhere' };
  }
  if (method === 'OPTIONS') return { kind: 'preflight' };
  const call = {
    user: userOf(input, query, nameOf),
    method: method === 'HEAD' ? 'GET' : method,
    path: path.slice(prefix.length + 1).split('/'),
    versions: query.getAll('version'),
  };
  return { kind: 'call', ...bodyOf(input, call) };
}

function isDecodable(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

function userOf(
  { headers }: Input,
  query: URLSearchParams,
  nameOf: (token: string) => string | undefined,
): string {
  const header = headers.find(([name]) => name.toLowerCase() === 'authorization')?.[1];
  const [, inHeader] = /^[\t ]*bearer +(\S+)[\t ]*$/i.exec(header ?? '') ?? [];
  const token = inHeader ?? query.get('access_token') ?? '';
  return token === '' ? 'no token' : (nameOf(token) ?? 'unknown token');
}

const NOT_JSON: Refusal = { status: 400, errcode: 'M_NOT_JSON' };
const UNKNOWN_ENCODING: Refusal = { status: 415, errcode: 'M_UNKNOWN' };
const TOO_LARGE: Refusal = { status: 413, errcode: 'M_TOO_LARGE' };
const BAD_JSON: Refusal = { status: 400, errcode: 'M_BAD_JSON' };

function bodyOf(
  input: Input,
  call: Omit<Call, 'body'>,
): { call: Call; bodyRefusals?: readonly Refusal[] } {
  const refused = (...bodyRefusals: Refusal[]) => ({ call, bodyRefusals });
  const bytes = Buffer.from(input.framing === 'none' ? '' : (input.body ?? ''), 'latin1');
  const encodings = input.headers.filter(([name]) => name.toLowerCase() === 'content-encoding');
  const encoding = encodings.map(([, value]) => value.trim().toLowerCase()).join(', ');
  let content: Buffer = bytes;
  if (encoding !== '' && encoding !== 'identity') {
    const decompress = DECOMPRESSORS.get(encoding);
    if (!decompress) return refused(UNKNOWN_ENCODING);
    try {
      content = decompress(bytes, { maxOutputLength: 4 * MAX_BODY_BYTES });
    } catch (error) {
      // what is broken behind the limit may be met or not
      return (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
        ? refused(TOO_LARGE)
        : refused(NOT_JSON, TOO_LARGE);
    }
  }
  if (content.length > MAX_BODY_BYTES) return refused(TOO_LARGE);
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(content);
    // asked before it is known to be JSON
    if (depthOf(text) > 1000) return refused(BAD_JSON, NOT_JSON);
    return { call: { ...call, body: text } };
  } catch {
    return refused(NOT_JSON);
  }
}

const DECOMPRESSORS = new Map<string, (bytes: Buffer, how: { maxOutputLength: number }) => Buffer>([
  ['gzip', gunzipSync],
  ['deflate', inflateSync],
  ['br', brotliDecompressSync],
]);

function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\[^])*"|[[\]{}]/g)) {
    if (token === '[' || token === '{') deepest = Math.max(deepest, (depth += 1));
    else if (token === ']' || token === '}') depth -= 1;
  }
  return deepest;
}

/** What the model says of a call; it takes effect. */
export function expectedOf(
  model: Model,
  { call, bodyRefusals }: Extract<Reading, { kind: 'call' }>,
): Expected {
  const expected = model.answer(bodyRefusals ? { ...call, body: '' } : call);
  if (!bodyRefusals || !('anyOf' in expected)) return expected;
  const anyOf = expected.anyOf.flatMap((one) =>
    one.errcode === NOT_JSON.errcode ? bodyRefusals : [one],
  );
  return { anyOf };
}
