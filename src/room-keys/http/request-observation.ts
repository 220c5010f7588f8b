import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RoomKeysObserver, RoomKeysRequestEvent } from '../room-keys.events.js';
import { findTokenOwner } from './request-state.js';

/** Bytes of the bodies, counted where they are read and written. */
type Tally = Pick<RoomKeysRequestEvent, 'requestBytes' | 'responseBytes'>;

// There are none without an observer.
const tallies = new WeakMap<IncomingMessage, Tally>();

/** Tells the observer of a request when it is over. */
export function observeRequest(
  request: IncomingMessage,
  response: ServerResponse,
  about: Pick<RoomKeysRequestEvent, 'operation' | 'prefix'>,
  observe: RoomKeysObserver,
): void {
  const begun = performance.now();
  const tally: Tally = { requestBytes: 0, responseBytes: 0 };
  tallies.set(request, tally);
  countBody(response, tally);
  response.once('close', () => {
    const event: RoomKeysRequestEvent = {
      type: 'request',
      ...about,
      method: request.method ?? '',
      status: response.headersSent ? response.statusCode : undefined,
      durationMs: performance.now() - begun,
      ...tally,
      userId: findTokenOwner(request)?.userId,
      aborted: !response.writableFinished,
    };
    observe(event, request);
  });
}

/** Counts what was read of the request's body. */
export function countRequestBytes(request: IncomingMessage, bytes: number): void {
  const tally = tallies.get(request);
  if (tally) tally.requestBytes += bytes;
}

/** Counts what is written to the response, by whomever. */
function countBody(response: ServerResponse, tally: Tally): void {
  for (const name of ['write', 'end'] as const) {
    const method = response[name].bind(response) as (...given: unknown[]) => unknown;
    const counting = (...given: unknown[]) => {
      const [chunk] = given;
      if (typeof chunk === 'string' || chunk instanceof Uint8Array)
        tally.responseBytes += Buffer.byteLength(chunk);
      return method(...given);
    };
    Object.assign(response, { [name]: counting });
  }
}
