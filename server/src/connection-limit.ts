import { readFileSync } from 'node:fs';
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

/** Descriptors that client connections leave to the database, Redis, files and connections that are just being closed. */
const RESERVE = 640;
/** If the operating system reports no limit. */
const FALLBACK_CONNECTIONS = 10_000;

/** How many client connections a process can have: its limit of open files, less what it needs for other things. */
export function connectionsWithin(openFiles: number | undefined): number {
  if (openFiles === undefined) return FALLBACK_CONNECTIONS;
  return openFiles - Math.min(RESERVE, Math.floor(openFiles / 2));
}

/** The limit of open files of this process; Infinity where there is none, undefined where it is not known. */
export function openFilesLimit(): number | undefined {
  return fromProc() ?? fromReport();
}

function fromProc(): number | undefined {
  try {
    const limits = readFileSync('/proc/self/limits', 'utf8');
    return asLimit(/^Max open files +(\S+)/m.exec(limits)?.[1]);
  } catch {
    return undefined;
  }
}

/** As reported by Node if there is no /proc, for example on macOS. */
function fromReport(): number | undefined {
  const { userLimits } = process.report.getReport() as {
    userLimits?: { open_files?: { soft?: string | number } };
  };
  return asLimit(userLimits?.open_files?.soft);
}

function asLimit(text: string | number | undefined): number | undefined {
  if (text === 'unlimited') return Infinity;
  const limit = Number(text);
  return Number.isInteger(limit) && limit > 0 ? limit : undefined;
}
