import { connect, type Socket } from 'node:net';

/** What came back before the connection was closed or the answer was there. */
export interface RawAnswer {
  /** 0 where nothing came that could be an answer. */
  status: number;
  /** Names in small letters. */
  headers: Record<string, string>;
  body: string;
}

/** A connection on which anything can be sent; it outlives whatever the server does to it. */
export class RawConnection {
  readonly socket: Socket;
  /** Resolves when the connection is gone, from whichever side. */
  readonly closed: Promise<void>;
  private received = Buffer.alloc(0);
  private heard: () => void = () => undefined;

  /** @param url of the server */
  constructor(url: string) {
    const { hostname, port } = new URL(url);
    this.socket = connect(Number(port), hostname);
    this.socket.setNoDelay(true);
    this.socket.on('data', (piece: Buffer) => {
      this.received = Buffer.concat([this.received, piece]);
      this.heard();
    });
    // a reset is an end like any other here
    this.socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      this.socket.once('close', () => {
        resolve();
        this.heard();
      });
    });
  }

  /** Sends bytes as fast as the server takes them, until it answers or closes. */
  async send(bytes: string | Buffer): Promise<void> {
    const { socket } = this;
    if (socket.destroyed || socket.write(bytes)) return;
    await new Promise<void>((resolve) => {
      const go = () => {
        socket.off('drain', go).off('data', go).off('close', go);
        resolve();
      };
      socket.on('drain', go).on('data', go).on('close', go);
    });
  }

  get isAnswered(): boolean {
    return this.received.length > 0;
  }

  /**
   * Waits for an answer, or for the end of the connection; what comes after the answer stays for the next call.
   *
   * @param method of the request: the answer to a HEAD has no body, whatever its head says
   */
  async answer(method?: string): Promise<RawAnswer> {
    for (;;) {
      const parsed = this.parse(method);
      if (parsed) return parsed;
      if (this.socket.destroyed)
        return { status: 0, headers: {}, body: this.received.toString('latin1') };
      await new Promise<void>((resolve) => (this.heard = resolve));
    }
  }

  /** All that came and was not taken as an answer. */
  get unread(): string {
    return this.received.toString('latin1');
  }

  close(): void {
    this.socket.destroy();
  }

  private parse(method?: string): RawAnswer | undefined {
    const end = this.received.indexOf('\r\n\r\n');
    if (end === -1) return undefined;
    const [first = '', ...lines] = this.received.subarray(0, end).toString('latin1').split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1] ?? 0);
    const headers = Object.fromEntries(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const content = this.received.subarray(end + 4);
    const bare = status === 100 || status === 204 || method === 'HEAD';
    const whole = bare ? noContent : contentOf(content, headers, this.socket.destroyed);
    if (!whole) return undefined;
    this.received = content.subarray(whole.taken);
    return status === 100 ? this.parse(method) : { status, headers, body: whole.bytes.toString() };
  }
}

const noContent = { bytes: Buffer.alloc(0), taken: 0 };

function contentOf(
  content: Buffer,
  headers: Record<string, string>,
  isAll: boolean,
): { bytes: Buffer; taken: number } | undefined {
  if (headers['transfer-encoding'] === 'chunked') return chunksOf(content);
  // HTTP 1.0: the answer ends where the connection does
  if (headers['content-length'] === undefined)
    return isAll ? { bytes: content, taken: content.length } : undefined;
  const length = Number(headers['content-length']);
  if (content.length < length) return undefined;
  return { bytes: content.subarray(0, length), taken: length };
}

function chunksOf(content: Buffer): { bytes: Buffer; taken: number } | undefined {
  const chunks: Buffer[] = [];
  for (let at = 0; ;) {
    const end = content.indexOf('\r\n', at);
    if (end === -1) return undefined;
    const size = parseInt(content.subarray(at, end).toString('latin1'), 16);
    const next = end + 2 + size + 2;
    if (content.length < next) return undefined;
    if (size === 0) return { bytes: Buffer.concat(chunks), taken: next };
    chunks.push(content.subarray(end + 2, end + 2 + size));
    at = next;
  }
}
