import { once } from 'node:events';
import { lstatSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { aboutListening } from './start-failure.js';

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
