import bodyParser from 'body-parser';
import type { IncomingMessage } from 'node:http';
import type { Request, Response } from 'express';
import { type MatrixError, badJson, notJson, tooLarge } from '../room-keys.errors.js';
import { isDeeperThan } from './json-cursor.js';

/** Levels that a body may nest: real ones have six; what reads a restore has to bear them again. */
const MAX_DEPTH = 1000;

/** A body as sent, and as JSON.parse reads it. */
export interface JsonBody {
  text: string;
  value: unknown;
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
 * @param maxBytes limit after decompression
 * @throws 413 `M_TOO_LARGE`, 400 `M_NOT_JSON` for what is not UTF-8 or not JSON, 400 `M_BAD_JSON`
 *   for what nests deeper than 1000 levels
 */
export async function readJson(
  request: Request,
  response: Response,
  maxBytes: number,
): Promise<JsonBody> {
  const text = decode(await readBytes(request, response, maxBytes));
  if (isDeeperThan(MAX_DEPTH, text))
    throw badJson(`The body nests deeper than ${MAX_DEPTH} levels.`);
  try {
    return { text, value: JSON.parse(text) };
  } catch {
    // V8's own message quotes the body
    throw notJson('The body is not JSON.');
  }
}

async function readBytes(request: Request, response: Response, limit: number): Promise<Buffer> {
  if (isBeingRead(request)) return bytesOfHost(request, limit);
  for (const [name, value] of hidden.get(request) ?? []) request.headers[name] = value;
  // It reads to the end also what it refuses, so that the client hears the answer.
  const read = bodyParser.raw({ type: () => true, limit });
  await new Promise<void>((resolve, reject) => {
    // A compressed body that breaks off never ends for who waits for the decompressed one.
    const brokenOff = () => {
      if (!request.complete) reject(notJson('The body broke off.'));
    };
    request.once('close', brokenOff);
    read(request, response, (error?: unknown) => {
      request.off('close', brokenOff);
      if (error === undefined) resolve();
      else reject(asMatrixError(error as { type?: string }, limit));
    });
  });
  const body: unknown = request.body;
  if (!Buffer.isBuffer(body)) throw notJson('The body is missing.');
  return body;
}

function isBeingRead(request: IncomingMessage): boolean {
  const { readableDidRead, readableFlowing } = request;
  return readableDidRead || readableFlowing === true || request.listenerCount('readable') > 0;
}

/** What middleware of the host's, which is no parser, has read and put where a parser would. */
function bytesOfHost({ body }: Request, limit: number): Buffer {
  if (!Buffer.isBuffer(body)) {
    throw new Error(
      'The body of a /room_keys/ request was read before RoomKeysModule could: let your middleware skip these paths.',
    );
  }
  if (body.length > limit) throw tooLarge(`The body is larger than ${limit} bytes.`);
  return body;
}

function asMatrixError({ type }: { type?: string }, limit: number): MatrixError {
  if (type === 'entity.too.large') return tooLarge(`The body is larger than ${limit} bytes.`);
  if (type === 'encoding.unsupported')
    return notJson('The Content-Encoding of the body is not supported.');
  return notJson('The body cannot be read.');
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw notJson('The body is not UTF-8.');
  }
}
