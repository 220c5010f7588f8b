import { pipeline } from 'node:stream/promises';
import type { Response } from 'express';
import type { MatrixError } from '../room-keys.errors.js';

const JSON_HEADERS = {
  'Content-Type': 'application/json; charset=utf-8',
  // What is behind an access token is for nobody's cache.
  'Cache-Control': 'no-store',
};

/**
 * An answer's body: JSON text, whole or as it comes. The pieces are not bare, since Nest would take
 * them for a stream of its own to send, and end them when an interceptor of the host fails.
 */
export type JsonText = string | { pieces: AsyncGenerator<Buffer, void, undefined> };

/** How long a client may take nothing of an answer: until it is over, a restore holds a connection to the database. */
const STALLED_MS = 30_000;

/**
 * Sends 200 with JSON text; what is in pieces is read only as fast as the client takes it.
 *
 * @param stalledMs how long the client may take nothing of it, in milliseconds
 * @returns when the answer has begun
 * @throws what is to be answered as an error
 */
export async function sendJson(
  response: Response,
  body: JsonText,
  stalledMs = STALLED_MS,
): Promise<{ rest: Promise<void> }> {
  if (typeof body === 'string') {
    sendText(response, 200, body);
    return { rest: Promise.resolve() };
  }
  const { pieces } = body;
  try {
    // Before the head, so that a failure up to here is still answered as an error.
    const first = await pieces.next();
    response.writeHead(200, JSON_HEADERS);
    // Node ends a connection on which nothing moved for this long, or up to twice as long, since it
    // looks at what is queued once; after the answer it sets its own time.
    response.socket?.setTimeout(stalledMs);
    if (!first.done) response.write(first.value);
  } catch (error) {
    // also when the client, or a host's time limit, gave up before it began
    await pieces.return();
    throw error;
  }
  return { rest: pipeline(pieces, response).finally(() => pieces.return()) };
}

/** Sends an error with its own status, body and headers. */
export function sendError(response: Response, error: MatrixError): void {
  for (const [name, value] of Object.entries(error.headers)) response.setHeader(name, value);
  sendText(response, error.getStatus(), JSON.stringify(error.body));
}

function sendText(response: Response, status: number, text: string): void {
  response.writeHead(status, { ...JSON_HEADERS, 'Content-Length': Buffer.byteLength(text) });
  response.end(text);
}
