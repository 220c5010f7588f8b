import type { IncomingMessage, ServerResponse } from 'node:http';

/** How far a client may go on sending what nobody wants, so that it hears why. */
interface Linger {
  ms: number;
  bytes: number;
}

/** Twice the largest body that is taken by default. */
const LINGER: Linger = { ms: 30_000, bytes: 32 * 1024 * 1024 };
const LOOK_EVERY_MS = 100;

/**
 * Sees to it that a body whose request was answered before it had come is read, and not for ever. Most
 * clients listen only after they have sent, so Node goes on reading, but not where the connection is
 * to be closed after the answer: to close it while bytes come resets it, and the answer is lost with
 * them. Who is not through soon is cut off.
 */
export function limitRest(
  request: IncomingMessage,
  response: ServerResponse,
  { ms, bytes }: Linger = LINGER,
): void {
  const { socket } = request;
  let closes = false;
  response.once('prefinish', () => {
    const last = response as ServerResponse & { _last?: boolean };
    if (request.complete || !last._last) return;
    // Node would close it at once
    last._last = false;
    closes = true;
  });
  response.once('finish', () => {
    if (request.complete) {
      if (closes) socket.end();
      return;
    }
    const until = performance.now() + ms;
    const most = socket.bytesRead + bytes;
    const look = setInterval(() => {
      const over = request.complete || socket.destroyed;
      if (!over && performance.now() < until && socket.bytesRead < most) return;
      clearInterval(look);
      if (!over) socket.destroy();
      else if (closes) socket.end();
    }, LOOK_EVERY_MS);
    look.unref();
  });
}
