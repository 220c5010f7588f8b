import { pipeline } from 'node:stream/promises';
import type { Response } from 'express';
import type { MatrixError } from '../room-keys.errors.js';

const JSON_HEADERS = {
  'Content-Type': 'application/json; charset=utf-8',
  // What is behind an access token is for nobody's cache.
  'Cache-Control': 'no-store',
};

/** An answer's body: JSON text, whole or as it comes. */
export type JsonText = string | AsyncGenerator<string, void, undefined>;

/** How long a client may take nothing of an answer: until it is over, a restore holds a connection to the database. */
const STALLED_MS = 30_000;

/** Sends 200 with JSON text; what is in pieces is read only as fast as the client takes it. */
export async function sendJson(response: Response, body: JsonText): Promise<void> {
  if (typeof body === 'string') {
    sendText(response, 200, body);
    return;
  }
  try {
    // Before the head, so that a failure up to here is still answered as an error.
    const first = await body.next();
    response.writeHead(200, JSON_HEADERS);
    // Node ends a connection on which nothing moved for so long; after the answer it sets its own time.
    response.socket?.setTimeout(STALLED_MS);
    if (!first.done) response.write(first.value);
    await pipeline(body, response);
  } finally {
    // ends the reading also when the client went away before it began
    await body.return();
  }
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
