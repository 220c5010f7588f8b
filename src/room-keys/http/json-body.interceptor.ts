import { isAscii, isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import {
  type CallHandler,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
} from '@nestjs/common';
import type { Request } from 'express';
import { finalize, type Observable } from 'rxjs';
import { findJsonFault, type JsonFault, MAX_JSON_DEPTH } from '../json/json-validator.js';
import { badJson, type MatrixError, notJson, tooLarge } from '../room-keys.errors.js';
import { ROOM_KEYS_OPTIONS, type RoomKeysOptions } from '../room-keys-options.interface.js';
import { BodyMemoryLimit, DEFAULT_MAX_BODY_BYTES } from './body-memory-limit.js';
import { type BodyBounds, decompressedBytes, readBytes } from './body-reader.js';
import { type JsonBody, RoomKeysRequest } from './room-keys.request.js';

/** Maximum number of values in a body; 20,000 keys of real clients have a quarter of that. */
const MAX_VALUES = 1_000_000;

/** Maximum number of members of an object outside of opaque JSON: comparing a million names took half a second. */
export const MAX_MEMBERS = 40_000;

/** Length in characters from which parsing takes more than a few milliseconds. */
const LONG = 1024 * 1024;

/** The headers by which body parsers decide whether to read a body. */
const BODY_HEADERS = ['content-type', 'content-length', 'transfer-encoding'] as const;

const DEFAULT_BODY_IDLE_TIMEOUT_MS = 30_000;

/** Reads the body after the guards have accepted the request. */
@Injectable()
export class JsonBodyInterceptor implements NestInterceptor {
  private readonly maxBytes: number;
  private readonly idleMs: number;

  constructor(
    @Inject(ROOM_KEYS_OPTIONS) options: Pick<RoomKeysOptions, 'maxBodyBytes' | 'bodyIdleTimeoutMs'>,
    private readonly memory: BodyMemoryLimit,
  ) {
    this.maxBytes = options.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES;
    this.idleMs = options.bodyIdleTimeoutMs ?? DEFAULT_BODY_IDLE_TIMEOUT_MS;
  }

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const request = context.switchToHttp().getRequest<Request>();
    const taken = RoomKeysRequest.of(request);
    // refuses invalid parameters before waiting for the body
    taken.checkParameters();
    const reservation = this.memory.open(taken.userId);
    try {
      const { maxBytes, idleMs } = this;
      taken.body = await readJson(request, { maxBytes, idleMs, reservation });
      // data derived from the body stays in memory until the handler is done
      return next.handle().pipe(
        finalize(() => {
          reservation.release();
        }),
      );
    } catch (error) {
      reservation.release();
      throw error;
    }
  }
}

const hidden = new WeakMap<IncomingMessage, [name: string, value: string][]>();

/** Hides the body from the parsers of the host: to them, the request has none. */
export function hideBodyFromParsers(request: IncomingMessage): void {
  const { headers } = request;
  for (const name of BODY_HEADERS) {
    const value = headers[name];
    if (value === undefined) continue;
    hidden.set(request, [...(hidden.get(request) ?? []), [name, value]]);
    Reflect.deleteProperty(headers, name);
  }
}

/**
 * Reads the body as JSON, regardless of its content type.
 *
 * @throws 400 `M_NOT_JSON` if it is not UTF-8 or not JSON, 400 `M_BAD_JSON` if it is nested deeper than
 *   1000 levels, 413 `M_TOO_LARGE` for more than a million values; and as {@link readBytes} does
 */
export async function readJson(request: Request, bounds: BodyBounds): Promise<JsonBody> {
  const text = await textOf(request, bounds);
  const fault = findJsonFault(text, { maxValues: MAX_VALUES });
  if (fault) throw REFUSALS[fault]();
  // lets other requests run before the keys are parsed
  if (text.length > LONG) await setImmediate();
  return { text };
}

const REFUSALS: Readonly<Record<JsonFault, () => MatrixError>> = {
  'not JSON': () => notJson('The body is not JSON.'),
  'too deep': () => badJson(`The body is nested deeper than ${MAX_JSON_DEPTH} levels.`),
  'too many values': () => tooLarge(`The body contains more than ${MAX_VALUES} values.`),
};

async function textOf(request: Request, bounds: BodyBounds): Promise<string> {
  const decoded = (bytes: Buffer) => {
    RoomKeysRequest.of(request).bytes.request += bytes.length;
    return decode(bytes);
  };
  if (isBeingRead(request)) return decoded(await bytesOfHost(request, bounds));
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

/**
 * The body if middleware of the host or a serverless platform has read it: they put it where a parser would, or keep the
 * bytes in `rawBody`. Some have decompressed it, others have not.
 */
async function bytesOfHost(request: Request, bounds: BodyBounds): Promise<Buffer> {
  const { body, rawBody } = request as { body?: unknown; rawBody?: unknown };
  const bytes = [body, rawBody].find((one) => Buffer.isBuffer(one));
  if (!bytes) {
    throw new Error(
      'The body of a /room_keys/ request was read before RoomKeysModule could, and is not a Buffer in request.body or request.rawBody. Make your middleware skip these paths.',
    );
  }
  if (bytes.length > bounds.maxBytes)
    throw tooLarge(`The body is larger than ${bounds.maxBytes} bytes.`);
  bounds.reservation.reserve(bytes.length);
  // each valid body is an object, and compressed bytes do not begin like one
  return beginsAsObject(bytes) ? bytes : decompressedBytes(bytes, request, bounds);
}

const beginsAsObject = (bytes: Buffer) =>
  /^(?:\u00ef\u00bb\u00bf)?\s*\{/.test(bytes.toString('latin1', 0, 100));

function decode(bytes: Buffer): string {
  if (isAscii(bytes)) return bytes.toString('latin1');
  // TextDecoder would make an intermediate copy of two bytes per character
  if (!isUtf8(bytes)) throw notJson('The body is not UTF-8.');
  return bytes.toString('utf8', startsWithBom(bytes) ? BYTE_ORDER_MARK.length : 0);
}

const BYTE_ORDER_MARK = Buffer.from('\ufeff');

const startsWithBom = (bytes: Buffer) =>
  bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK);
