import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/**
 * Keeps the client connections of a server within a number, so that clients which only hold connections open do not keep
 * others out. A new connection beyond it replaces the one that has been idle longest; if all are busy, the new
 * one is closed.
 *
 * A connection is busy while a request is under way on it, from the end of its head to the end of its answer.
 */
export class ConnectionLimit {
  /** In the order in which they became idle: a Set keeps the order of insertion. */
  private readonly idle = new Set<Socket>();
  /** With the number of requests under way, of which there are several where a client does not wait for answers. */
  private readonly busy = new Map<Socket, number>();
  private evicted = 0;

  /** @param most connections at once */
  constructor(readonly most: number) {}

  /** Connections that are open, and how many were closed to stay within the limit. */
  get counts(): { idle: number; busy: number; evicted: number } {
    return { idle: this.idle.size, busy: this.busy.size, evicted: this.evicted };
  }

  /** Follows the connections of a server; to be called once, before it listens. */
  watch(server: Server): void {
    server.on('connection', (socket: Socket) => {
      this.opened(socket);
    });
    server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
      this.requested(socket);
      response.once('close', () => {
        this.answered(socket);
      });
    });
  }

  private opened(socket: Socket): void {
    if (this.idle.size + this.busy.size >= this.most && !this.evictLongestIdle()) {
      this.evicted++;
      socket.destroy();
      return;
    }
    this.idle.add(socket);
    socket.once('close', () => {
      this.forget(socket);
    });
  }

  private evictLongestIdle(): boolean {
    const [longestIdle] = this.idle;
    if (!longestIdle) return false;
    this.evicted++;
    // immediately, not on the close event: each of many new connections in one tick must find room
    this.forget(longestIdle);
    longestIdle.destroy();
    return true;
  }

  private requested(socket: Socket): void {
    this.idle.delete(socket);
    this.busy.set(socket, (this.busy.get(socket) ?? 0) + 1);
  }

  private answered(socket: Socket): void {
    const others = (this.busy.get(socket) ?? 0) - 1;
    if (others > 0) {
      this.busy.set(socket, others);
      return;
    }
    this.busy.delete(socket);
    if (!socket.destroyed) this.idle.add(socket);
  }

  private forget(socket: Socket): void {
    this.idle.delete(socket);
    this.busy.delete(socket);
  }
}
