import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** How much of a refused body a client may still send, so that it receives the response. */
interface Linger {
  ms: number;
  bytes: number;
}

/** Twice the default maximum size of a body. */
const LINGER: Linger = { ms: 30_000, bytes: 32 * 1024 * 1024 };
const LOOK_EVERY_MS = 100;
const REQUEST_TIMEOUT = 408;

/** Requests whose body may be longer than what is discarded, by their Content-Length. */
const long = new WeakSet<IncomingMessage>();

/** Connections whose last response was sent: further data on them is discarded. */
const closing = new WeakSet<Socket>();

/** Whether the connection of a request is being closed: a response would not reach the client, so the request is ignored. */
export const isClosing = ({ socket }: IncomingMessage) => closing.has(socket);

/**
 * Whether a response must announce that the connection is closed after it: if the rest of the body may be longer than
 * what is discarded, a client would wait in vain for the response to its next request.
 */
export const closesAfter = (request: IncomingMessage, status: number) =>
  !request.complete && (status === REQUEST_TIMEOUT || long.has(request));

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
  if (Number(request.headers['content-length'] ?? Infinity) > bytes) long.add(request);
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
