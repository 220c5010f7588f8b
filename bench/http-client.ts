import { Agent, type IncomingMessage, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** An answer, and when it came: milliseconds since the request was begun. */
export interface Answer {
  status: number;
  body: Buffer[];
  /** Until the first byte of the body. */
  firstByteMs: number;
  /** Until the last byte of the body. */
  ms: number;
}

/** What to do with a body that is not to be kept. */
export interface Reader {
  /** Called with each piece. */
  piece: (bytes: Buffer) => void;
  /** Bytes a second that are taken at most. Default: as many as there are. */
  bytesPerSecond?: number;
}

export interface ClientOptions {
  /** How many connections it opens at most; further requests wait, and their time counts. Default: 1. */
  connections?: number;
  /** Milliseconds after which a request without a complete answer fails. Default: no limit. */
  timeoutMs?: number;
}

/** One client of a homeserver, whose connections are kept. The same for every server that is measured. */
export class HttpClient {
  private readonly agent: Agent;
  private readonly authorization: string;
  private readonly timeoutMs: number | undefined;
  private isClosed = false;

  /** @param url of the server, such as `http://127.0.0.1:8090` */
  constructor(
    private readonly url: string,
    token: string,
    { connections = 1, timeoutMs }: ClientOptions = {},
  ) {
    this.agent = new Agent({ keepAlive: true, maxSockets: connections });
    this.timeoutMs = timeoutMs;
    this.authorization = `Bearer ${token}`;
  }

  /** @param path below `/_matrix/client/v3/room_keys` */
  send(method: string, path: string, body?: Buffer, reader?: Reader): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const begun = performance.now();
      const outgoing = request(
        `${this.url}/_matrix/client/v3/room_keys${path}`,
        {
          method,
          agent: this.agent,
          ...(this.timeoutMs !== undefined && { signal: AbortSignal.timeout(this.timeoutMs) }),
          headers: {
            Authorization: this.authorization,
            ...(body && { 'Content-Type': 'application/json', 'Content-Length': body.length }),
          },
        },
        (response) => {
          receive(response, begun, reader).then(resolve, reject);
        },
      );
      outgoing.on('error', (error: NodeJS.ErrnoException) => {
        // the server closed the connection, idle for a while, just when it was to be used again
        const again = outgoing.reusedSocket && error.code === 'ECONNRESET' && !this.isClosed;
        if (again) this.send(method, path, body, reader).then(resolve, reject);
        else reject(error);
      });
      outgoing.end(body);
    });
  }

  close(): void {
    this.isClosed = true;
    this.agent.destroy();
  }
}

async function receive(
  response: IncomingMessage,
  begun: number,
  reader: Reader | undefined,
): Promise<Answer> {
  const body: Buffer[] = [];
  let firstByteMs = NaN;
  let bytes = 0;
  for await (const piece of response as AsyncIterable<Buffer>) {
    const now = performance.now();
    if (bytes === 0) firstByteMs = now - begun;
    bytes += piece.length;
    if (!reader) {
      body.push(piece);
      continue;
    }
    reader.piece(piece);
    if (reader.bytesPerSecond !== undefined) {
      const early = (bytes / reader.bytesPerSecond) * 1000 - (now - begun - firstByteMs);
      if (early > 1) await sleep(early);
    }
  }
  const ms = performance.now() - begun;
  if (!response.complete) throw new Error('The server broke off its answer.');
  return { status: response.statusCode ?? 0, body, firstByteMs, ms };
}
