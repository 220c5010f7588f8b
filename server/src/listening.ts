import type { Server } from 'node:http';

/** Where a server listens: `http://127.0.0.1:8090`, or `http://unix:/run/room-keys/api.sock:` as nginx has it. */
export function urlOf(server: Server): string {
  const bound = server.address();
  if (typeof bound === 'string') return `http://unix:${bound}:`;
  if (bound === null) throw new Error('The server does not listen.');
  const { address, family, port } = bound;
  return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
}
