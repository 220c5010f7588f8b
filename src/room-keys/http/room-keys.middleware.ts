import { type HttpServer, RequestMethod, type Type } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { type MatrixError, unrecognizedPath, wrongMethod } from '../room-keys.errors.js';
import type {
  RoomKeysObserver,
  RoomKeysOperation,
  RoomKeysRequestEvent,
} from '../room-keys.events.js';
import { hideBodyFromParsers } from './json-body.interceptor.js';
import { operationOf } from './operation.decorator.js';
import { RoomKeysRequest } from './room-keys.request.js';
import { isClosing, lingeringClose } from './lingering-close.js';
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

interface Route {
  pattern: RegExp;
  /** By method, in upper case. */
  operations: ReadonlyMap<string, RoomKeysOperation | undefined>;
}

/** The routes of controllers, from the metadata that Nest's own router reads. */
export function routesOf(controllers: readonly Type[]): Route[] {
  const operationsOf = new Map<string, Map<string, RoomKeysOperation | undefined>>();
  for (const { prototype } of controllers) {
    for (const name of Object.getOwnPropertyNames(prototype)) {
      if (name === 'constructor') continue;
      const handler = (prototype as Record<string, object>)[name];
      if (handler === undefined) continue;
      const path = Reflect.getMetadata(PATH_METADATA, handler) as string | undefined;
      if (path === undefined) continue;
      const method = RequestMethod[Reflect.getMetadata(METHOD_METADATA, handler) as RequestMethod];
      const operations = operationsOf.get(path) ?? new Map<string, RoomKeysOperation | undefined>();
      operations.set(method, operationOf(handler));
      // Express calls the handler of GET for it, and Node sends no body
      if (method === 'GET') operations.set('HEAD', operationOf(handler));
      operationsOf.set(path, operations);
    }
  }
  return [...operationsOf].map(([path, operations]) => ({
    pattern: new RegExp(`^/${path.replace(/^\//, '').replaceAll(/:(\w+)/g, '(?<$1>[^/]+)')}$`),
    operations,
  }));
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
    if (isClosing(request)) return;
    const exact = (PATH_PREFIXES as readonly string[]).includes(prefix.slice(1));
    const rest = path.slice(prefix.length);
    const route = exact ? routes.find(({ pattern }) => pattern.test(rest)) : undefined;
    if (observe) {
      const operation = route?.operations.get(request.method);
      observeRequest(request, response, { operation, prefix: shortPrefix(prefix) }, observe);
    }
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
    RoomKeysRequest.of(request).segments = { ...route.pattern.exec(rest)?.groups };
    // Express rejects a path that it cannot decode before any guard runs; we have the segments already.
    const query = request.url.indexOf('?');
    request.url =
      `/${PATH_PREFIXES[0]}${withoutBadEncoding(rest)}` +
      (query === -1 ? '' : request.url.slice(query));
    hideBodyFromParsers(request);
    next();
  };
}

const withEntrance = new WeakSet<object>();

/**
 * Puts the middleware before all others of the host: it must come before body parsers and before a
 * `cors` that would answer our preflights.
 */
export function installMiddleware(adapter: HttpServer, handler: RequestHandler): void {
  const express = adapter.getInstance() as { router: { stack: unknown[] } };
  if (withEntrance.has(express)) {
    throw new Error(
      'RoomKeysModule: the application imports it twice, and its paths are there once: import it in one place.',
    );
  }
  withEntrance.add(express);
  adapter.use(handler);
  const { stack } = express.router;
  stack.unshift(stack.pop());
}

/** Reports a request to the observer when it is finished. */
function observeRequest(
  request: Request,
  response: Response,
  about: Pick<RoomKeysRequestEvent, 'operation' | 'prefix'>,
  observe: RoomKeysObserver,
): void {
  const begun = performance.now();
  response.once('close', () => {
    const { bytes, databaseFailure, owner } = RoomKeysRequest.of(request);
    observe(
      {
        type: 'request',
        ...about,
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
