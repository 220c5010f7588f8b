import type { IncomingMessage } from 'node:http';
import { invalidParameter, missingParameter } from '../room-keys.errors.js';
import type { TokenOwner } from '../room-keys-options.interface.js';
import { checkId } from '../json/ids.js';

/** A body as sent, which is JSON. It is not parsed: its values would take many times the memory. */
export interface JsonBody {
  text: string;
}

/** The placeholders of our paths. */
export type PathParameter = 'version' | 'roomId' | 'sessionId';

// Kept beside the request, not on it: what a host's middleware does to `params`, `query` or `user`
// does not reach us, nor we it.
const parametersOf = new WeakMap<IncomingMessage, Readonly<Record<string, string>>>();
const ownerOf = new WeakMap<IncomingMessage, TokenOwner>();
const bodyOf = new WeakMap<IncomingMessage, JsonBody>();

/** Remembers the segments of the path, still percent-encoded. */
export function setPathParameters(
  request: IncomingMessage,
  raw: Readonly<Record<string, string>>,
): void {
  parametersOf.set(request, raw);
}

/**
 * A segment of the path, decoded and checked.
 *
 * @throws 400 `M_INVALID_PARAM` for an id that is too long, or not percent-encoded UTF-8; any
 *   version passes, being at worst the name of no backup
 */
export function pathParameter(request: IncomingMessage, name: PathParameter): string {
  const raw = parametersOf.get(request)?.[name] ?? '';
  const decoded = decode(raw);
  if (name === 'version') return decoded ?? raw;
  const what = `The ${name} in the path`;
  if (decoded === undefined) throw invalidParameter(`${what} is not percent-encoded UTF-8.`);
  return checkId(what, decoded);
}

/**
 * The query parameter `version`.
 *
 * @throws 400 `M_MISSING_PARAM` when absent or empty, 400 `M_INVALID_PARAM` when given twice
 */
export function versionParameter(request: IncomingMessage): string {
  const [version, ...more] = queryOf(request).getAll('version');
  if (more.length > 0)
    throw invalidParameter("The query parameter 'version' is given more than once.");
  if (!version) throw missingParameter('version');
  return version;
}

/**
 * Checks what the path and the query of an operation with a body hold.
 *
 * @throws as {@link pathParameter} and {@link versionParameter} do
 */
export function checkParameters(request: IncomingMessage): void {
  const parameters = parametersOf.get(request) ?? {};
  if (/\/room_keys\/keys[/?]|\/room_keys\/keys$/.test(request.url ?? '')) versionParameter(request);
  for (const name of Object.keys(parameters)) pathParameter(request, name as PathParameter);
}

/** The access token: from the header, else from the query, where old clients put it. */
export function accessTokenOf(request: IncomingMessage): string | undefined {
  const header = /^bearer +(\S+) *$/i.exec(request.headers.authorization ?? '');
  if (header) return header[1];
  const parameter = queryOf(request).get('access_token');
  return parameter === '' ? undefined : (parameter ?? undefined);
}

export function setTokenOwner(request: IncomingMessage, owner: TokenOwner): void {
  ownerOf.set(request, owner);
}

/** Undefined for a request that the guard did not let through. */
export function findTokenOwner(request: IncomingMessage): TokenOwner | undefined {
  return ownerOf.get(request);
}

/** Whose token the request carries; the guard has found out. */
export function tokenOwner(request: IncomingMessage): TokenOwner {
  const owner = findTokenOwner(request);
  if (!owner)
    throw new Error('AccessTokenGuard did not run before a handler that asks for the owner.');
  return owner;
}

export function setJsonBody(request: IncomingMessage, body: JsonBody): void {
  bodyOf.set(request, body);
}

/** The body of the request, which the interceptor has read. Once: its text does not stay in memory while the keys are stored. */
export function takeJsonBody(request: IncomingMessage): JsonBody {
  const body = bodyOf.get(request);
  bodyOf.delete(request);
  if (!body)
    throw new Error('JsonBodyInterceptor did not run before a handler that asks for the body.');
  return body;
}

function decode(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}

/** Parsed here, since a host can give Express any query parser, or none. */
function queryOf({ url = '' }: IncomingMessage): URLSearchParams {
  const mark = url.indexOf('?');
  return new URLSearchParams(mark === -1 ? '' : url.slice(mark));
}
