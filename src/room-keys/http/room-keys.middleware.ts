import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { HttpServer } from '@nestjs/common';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { type MatrixError, unrecognizedPath, wrongMethod } from '../room-keys.errors.js';
import type {
  RoomKeysObserver,
  RoomKeysOperation,
  RoomKeysRequestEvent,
} from '../room-keys.events.js';
import { hideBodyFromParsers } from './json-body.interceptor.js';
import { RoomKeysRequest } from './room-keys.request.js';
import { CORS, sendError, writeHead } from './responses.js';

/** The documented prefix, under which the routes are registered, then those of old clients, which are rewritten to it. */
export const PATH_PREFIXES = [
  '_matrix/client/v3/room_keys',
  '_matrix/client/r0/room_keys',
  '_matrix/client/unstable/room_keys',
] as const;

/** Case-insensitive: Express would accept any case, Matrix does not. */
const OURS = new RegExp(`^/(?:${PATH_PREFIXES.join('|')})(?=/|$)`, 'i');

/** Seconds for which a browser may cache a preflight. */
const PREFLIGHT_MAX_AGE = 86_400;

/** A path of the module and its operations. */
export interface Route {
  pattern: RegExp;
  /** By method, in upper case. */
  operations: ReadonlyMap<string, RoomKeysOperation | undefined>;
}

/**
 * Handles a request before Nest does: CORS, preflights, unknown paths and wrong methods, none of
 * which needs a token. It also hides the body from the host's parsers, which would refuse a batch of
 * keys over their limit, and read a body before the token is verified.
 */
export function roomKeysMiddleware(
  routes: readonly Route[],
  observe?: RoomKeysObserver,
): RequestHandler {
  return (request: Request, response: Response, next: NextFunction) => {
    // what Express routes by: for an absolute URL only its path
    const { path } = request;
    const prefix = OURS.exec(path)?.[0];
    if (prefix === undefined) {
      next();
      return;
    }
    // its response would not reach the client
    if (closing.has(request.socket)) return;
    const exact = (PATH_PREFIXES as readonly string[]).includes(prefix.slice(1));
    const rest = path.slice(prefix.length);
    const route = exact ? routes.find(({ pattern }) => pattern.test(rest)) : undefined;
    const taken = RoomKeysRequest.of(request);
    taken.operation = route?.operations.get(request.method);
    if (observe) observeRequest(request, response, shortPrefix(prefix), observe);
    // also for a response that the host sends itself
    for (const [name, value] of Object.entries(CORS)) response.setHeader(name, value);
    lingeringClose(request, response);
    if (request.method === 'OPTIONS') {
      writeHead(response, 204, { 'Access-Control-Max-Age': PREFLIGHT_MAX_AGE });
      response.end();
      return;
    }
    const refuse = (error: MatrixError) => {
      sendError(response, error);
    };
    if (!route) {
      refuse(unrecognizedPath());
      return;
    }
    if (!route.operations.has(request.method)) {
      refuse(wrongMethod([...route.operations.keys()]));
      return;
    }
    taken.segments = { ...route.pattern.exec(rest)?.groups };
    // Express rejects a path that it cannot decode before any guard runs; we have the segments already.
    const query = request.url.indexOf('?');
    request.url =
      `/${PATH_PREFIXES[0]}${withoutBadEncoding(rest)}` +
      (query === -1 ? '' : request.url.slice(query));
    hideBodyFromParsers(request);
    next();
  };
}

const withMiddleware = new WeakSet<object>();

/**
 * Puts the middleware before all others of the host: it must come before body parsers and before a
 * `cors` that would answer our preflights.
 */
export function installMiddleware(adapter: HttpServer, handler: RequestHandler): void {
  const express = adapter.getInstance() as { router: { stack: unknown[] } };
  if (withMiddleware.has(express)) {
    throw new Error(
      'RoomKeysModule: the application imports it twice, but its paths exist only once. Import it in one place.',
    );
  }
  withMiddleware.add(express);
  adapter.use(handler);
  const { stack } = express.router;
  stack.unshift(stack.pop());
}

/** How much of a refused body a client may still send, so that it receives the response. */
interface Linger {
  ms: number;
  bytes: number;
}

/** Twice the default maximum size of a body. */
const LINGER: Linger = { ms: 30_000, bytes: 32 * 1024 * 1024 };
const LOOK_EVERY_MS = 100;

/** Connections whose last response was sent: further data on them is discarded. */
const closing = new WeakSet<Socket>();

/**
 * Reads and discards the rest of a body whose request was answered early, within limits. Most clients
 * read the response only after they have sent the body, so Node keeps reading, except when the
 * connection is closed after the response: closing it while bytes arrive resets it, and the response is
 * lost. Clients that take too long are disconnected.
 */
export function lingeringClose(
  request: IncomingMessage,
  response: ServerResponse,
  { ms, bytes }: Linger = LINGER,
): void {
  const { socket } = request;
  // now, since the header is later hidden from the host's body parsers
  RoomKeysRequest.of(request).isLong =
    Number(request.headers['content-length'] ?? Infinity) > bytes;
  let closes = false;
  response.once('prefinish', () => {
    const last = response as ServerResponse & { _last?: boolean };
    if (request.complete || !last._last) return;
    // Node would close it at once
    last._last = false;
    closes = true;
    closing.add(socket);
  });
  response.once('finish', () => {
    if (request.complete && !closes) return;
    // closes our side only: the client can keep sending, and receives the response
    if (closes) socket.end();
    const until = performance.now() + ms;
    const most = socket.bytesRead + bytes;
    const look = setInterval(() => {
      const over = socket.destroyed || (request.complete && !closes);
      if (!over && performance.now() < until && socket.bytesRead < most) return;
      clearInterval(look);
      if (!over) socket.destroy();
    }, LOOK_EVERY_MS);
    look.unref();
  });
}

/** Reports a request to the observer when it is finished. */
function observeRequest(
  request: Request,
  response: Response,
  prefix: RoomKeysRequestEvent['prefix'],
  observe: RoomKeysObserver,
): void {
  const begun = performance.now();
  response.once('close', () => {
    const { bytes, databaseFailure, operation, owner } = RoomKeysRequest.of(request);
    observe(
      {
        type: 'request',
        operation,
        prefix,
        method: request.method,
        status: response.headersSent ? response.statusCode : undefined,
        durationMs: performance.now() - begun,
        requestBytes: bytes.request,
        responseBytes: bytes.response,
        userId: owner?.userId,
        databaseFailure,
        aborted: !response.writableFinished,
      },
      request,
    );
  });
}

function shortPrefix(prefix: string): RoomKeysRequestEvent['prefix'] {
  const [, short] = /^\/_matrix\/client\/(\w+)/.exec(prefix.toLowerCase()) ?? [];
  return short as RoomKeysRequestEvent['prefix'];
}

function withoutBadEncoding(path: string): string {
  try {
    decodeURIComponent(path);
    return path;
  } catch {
    return path.replaceAll('%', '-');
  }
}
