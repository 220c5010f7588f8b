import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** How far a client may go on sending what nobody wants, so that it hears why. */
interface Linger {
  ms: number;
  bytes: number;
}

/** Twice the largest body that is taken by default. */
const LINGER: Linger = { ms: 30_000, bytes: 32 * 1024 * 1024 };
const LOOK_EVERY_MS = 100;
const REQUEST_TIMEOUT = 408;

/** Requests whose body may go on for longer than is waited for, by the length that they state. */
const long = new WeakSet<IncomingMessage>();

/** Connections whose last answer was sent: what else comes on them is discarded. */
const closing = new WeakSet<Socket>();

/** Whether the connection of a request is being closed: an answer would not reach the client, so nothing may be done. */
export const isClosing = ({ socket }: IncomingMessage) => closing.has(socket);

/**
 * Whether an answer has to say that the connection is closed after it: where the rest of the body may be longer than what
 * is read of it, a client would wait in vain for the answer to its next request.
 */
export const closesAfter = (request: IncomingMessage, status: number) =>
  !request.complete && (status === REQUEST_TIMEOUT || long.has(request));

/**
 * Sees to it that a body whose request was answered before it had come is read, and not for ever. Most
 * clients listen only after they have sent, so Node goes on reading, but not where the connection is
 * to be closed after the answer: to close it while bytes come resets it, and the answer is lost with
 * them. Who is not through soon is cut off.
 */
export function lingeringClose(
  request: IncomingMessage,
  response: ServerResponse,
  { ms, bytes }: Linger = LINGER,
): void {
  const { socket } = request;
  // now, since it is hidden from the host's body parsers
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
    // closes our side only: the client can go on sending, and hears the answer
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
