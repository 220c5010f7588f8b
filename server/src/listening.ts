/** Addresses, paths and times of the server. It loads nothing: the primary process of several workers has no Nest. */
import type { Server } from 'node:http';

/** Where Swagger UI is served; its JSON is beside it, at `/docs-json`. */
export const DOCS_PATH = 'docs';

/** Time for running requests to finish when the server is stopped. */
export const STOP_TIMEOUT_MS = 25_000;

/** Where a server listens: `http://127.0.0.1:8090`, or `http://unix:/run/room-keys/api.sock:` as nginx has it. */
export function urlOf(server: Server): string {
  const bound = server.address();
  if (typeof bound === 'string') return `http://unix:${bound}:`;
  if (bound === null) throw new Error('The server does not listen.');
  const { address, family, port } = bound;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
