import { randomUUID } from 'node:crypto';
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http';
import { Logger } from '@nestjs/common';
import type { RoomKeysEvent } from 'nestjs-room-keys';
import type { RoomKeysRequestEvent } from 'nestjs-room-keys/operations';
import { requestIds } from './server-logger.js';

/** The words of paths that say nothing about anybody. */
const WORDS = new Set([
  ...['_matrix', 'client', 'v3', 'r0', 'unstable', 'room_keys', 'version', 'keys'],
  ...['health', 'live', 'ready', 'docs', 'docs-json', 'metrics', 'favicon.ico', ''],
]);
const MOST_WORDS = 12;
/** Requests that supervisors and browsers repeat all day long. */
const QUIET = /^\/(?:health\/|docs|favicon\.ico)/;

/** What proxies make: hexadecimal digits, UUIDs, base64, and such things with a name before them. */
const FORM = /^[\w.:=+/@-]{1,128}$/;

/** One line a request, and the id that ties other lines to it. */
export class RequestLog {
  private readonly logger = new Logger('Request');
  private readonly events = new WeakMap<IncomingMessage, RoomKeysRequestEvent>();

  /** @param userIds whether lines contain the owner of the token */
  constructor(private readonly userIds: boolean) {}

  /** Keeps the module's event of a request for its log line. */
  observe(event: RoomKeysEvent, request: IncomingMessage | undefined): void {
    if (event.type === 'request' && request) this.events.set(request, event);
  }

  /** Has the server give each request its id, and log it when it is over. */
  follow(server: Server): void {
    const listeners = server.listeners('request') as RequestListener[];
    server.removeAllListeners('request');
    server.on('request', (request, response) => {
      const begun = performance.now();
      const id = requestIdOf(request);
      response.setHeader('X-Request-Id', id);
      // the URL as the client sent it: the module routes by a normalized one
      const { url = '' } = request;
      requestIds.run(id, () => {
        for (const listener of listeners) listener(request, response);
        // after the module's own, so that its event has come
        response.once('close', () => {
          this.write(id, request, response, patternOf(url), performance.now() - begun);
        });
      });
    });
  }

  private write(
    requestId: string,
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    durationMs: number,
  ): void {
    const event = this.events.get(request);
    const status = event ? event.status : response.headersSent ? response.statusCode : undefined;
    const { method = '' } = request;
    const line = {
      // explicit, since a closed connection has no async context
      requestId,
      operation: event?.operation,
      method,
      // useful only if the request is not an operation
      ...(event?.operation === undefined && { path }),
      status,
      durationMs: Math.round((event?.durationMs ?? durationMs) * 10) / 10,
      ...(event && {
        ...(event.prefix !== 'v3' && { prefix: event.prefix }),
        requestBytes: event.requestBytes,
        responseBytes: event.responseBytes,
        ...(this.userIds && { userId: event.userId }),
      }),
      ...((event?.aborted ?? !response.writableFinished) && { aborted: true }),
    };
    const message = `${event?.operation ?? `${method} ${path}`} ${status ?? 'aborted'}`;
    if (status !== undefined && status >= 500) this.logger.warn(message, line);
    else if (method === 'OPTIONS' || QUIET.test(path)) this.logger.debug(message, line);
    else this.logger.log(message, line);
  }
}

/** The path without personal data: ids, and unknown segments of stray clients. */
export function patternOf(url: string): string {
  const path = /^[^?#]*/.exec(url.replace(/^https?:\/\/[^/?#]*/i, ''))?.[0] ?? '';
  const words = path.split('/');
  const known = words.slice(0, MOST_WORDS).map((word) => (WORDS.has(word) ? word : '*'));
  return known.join('/') + (words.length > MOST_WORDS ? '/…' : '');
}

/** The id that the proxy gave to a request, if it is one that a log can hold; else one of our own. */
function requestIdOf({ headers }: IncomingMessage): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && FORM.test(given) ? given : randomUUID();
}
