import { isAscii } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import type { Request } from 'express';
import { MAX_JSON_DEPTH } from '../opaque-json.js';
import { badJson, notJson, tooLarge } from '../room-keys.errors.js';
import { type BodyBounds, readBytes } from './body-bytes.js';
import { hasMoreValuesThan, isDeeperThan } from './json-cursor.js';
import { countRequestBytes } from './request-observation.js';

/** Values in a body: 20,000 keys of real clients are a quarter of that. */
const MAX_VALUES = 1_000_000;

/** A body as sent, which is JSON. What JSON.parse makes of it, many times as large, is not kept. */
export interface JsonBody {
  text: string;
}

/** By these, body parsers tell whether there is a body, and whether it is for them. */
const BODY_HEADERS = ['content-type', 'content-length', 'transfer-encoding'] as const;

const hidden = new WeakMap<IncomingMessage, [name: string, value: string][]>();

/** Keeps the body from the parsers of the host: for them, the request has none. */
export function hideBody(request: IncomingMessage): void {
  const { headers } = request;
  for (const name of BODY_HEADERS) {
    const value = headers[name];
    if (value === undefined) continue;
    hidden.set(request, [...(hidden.get(request) ?? []), [name, value]]);
    Reflect.deleteProperty(headers, name);
  }
}

/**
 * Reads the body as JSON, whatever its content type says, also without one.
 *
 * @throws 400 `M_NOT_JSON` for what is not UTF-8 or not JSON, 400 `M_BAD_JSON` for what nests deeper
 *   than 1000 levels, 413 `M_TOO_LARGE` for more than a million values; and as {@link readBytes} does
 */
export async function readJson(request: Request, bounds: BodyBounds): Promise<JsonBody> {
  const text = await textOf(request, bounds);
  if (isDeeperThan(MAX_JSON_DEPTH, text))
    throw badJson(`The body nests deeper than ${MAX_JSON_DEPTH} levels.`);
  if (hasMoreValuesThan(MAX_VALUES, text))
    throw tooLarge(`The body holds more than ${MAX_VALUES} values.`);
  try {
    JSON.parse(text);
    return { text };
  } catch {
    // V8's own message quotes the body
    throw notJson('The body is not JSON.');
  }
}

async function textOf(request: Request, bounds: BodyBounds): Promise<string> {
  const decoded = (bytes: Buffer) => {
    countRequestBytes(request, bytes.length);
    return decode(bytes);
  };
  if (isBeingRead(request)) return decoded(bytesOfHost(request, bounds));
  for (const [name, value] of hidden.get(request) ?? []) request.headers[name] = value;
  return readBytes(request, bounds, (bytes) => {
    if (bytes.length === 0) throw notJson('The body is missing.');
    return decoded(bytes);
  });
}

function isBeingRead(request: IncomingMessage): boolean {
  const { readableDidRead, readableFlowing } = request;
  return readableDidRead || readableFlowing === true || request.listenerCount('readable') > 0;
}

/** What middleware of the host's, which is no parser, has read and put where a parser would. */
function bytesOfHost({ body }: Request, { maxBytes, hold }: BodyBounds): Buffer {
  if (!Buffer.isBuffer(body)) {
    throw new Error(
      'The body of a /room_keys/ request was read before RoomKeysModule could: let your middleware skip these paths.',
    );
  }
  if (body.length > maxBytes) throw tooLarge(`The body is larger than ${maxBytes} bytes.`);
  hold.growTo(body.length);
  return body;
}

function decode(bytes: Buffer): string {
  if (isAscii(bytes)) return bytes.toString('latin1');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw notJson('The body is not UTF-8.');
  }
}
