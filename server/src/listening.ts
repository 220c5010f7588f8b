/** Where the server listens. It loads nothing of Nest: the primary process of several workers has none. */
import { once } from 'node:events';
import { lstatSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { aboutListening } from './start-failure.js';

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

/** Permissions of the socket without SOCKET_MODE: its owner's and its group's. */
export const SOCKET_MODE = 0o660;

/**
 * Removes the socket of a server that was killed. Node removes it only when a server stops by itself, and refuses to
 * listen at a path that exists.
 *
 * @throws as `listen` would: EADDRINUSE where a server answers, or where the path is not a socket
 */
export async function removeStaleSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return;
  if (!found.isSocket()) throw listenError(path, 'EEXIST');
  const client = connect(path);
  try {
    await once(client, 'connect');
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    if (code !== 'ECONNREFUSED') throw listenError(path, code);
    rmSync(path, { force: true });
    return;
  } finally {
    client.destroy();
  }
  throw listenError(path, 'EADDRINUSE');
}

function listenError(address: string, code: string): Error {
  const error = Object.assign(new Error(`listen ${code}: ${address}`), {
    code,
    syscall: 'listen',
    address,
  });
  return aboutListening(error, '');
}
