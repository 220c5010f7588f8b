/** Proves that a response in pieces is read as fast as its client takes it, and no further once the client is gone or takes no more. */
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Response } from 'express';
import { sendJson } from './responses.js';

const PIECE = Buffer.alloc(1024 * 1024, ' ');
/** More than the buffers between a server and a client hold. */
const MANY = 1000;

/** Pieces that count how many were asked for. */
class Pieces {
  asked = 0;
  /** When no further one will be requested. */
  readonly ended: Promise<void>;
  private end: () => void = () => undefined;

  constructor(private readonly count: number) {
    this.ended = new Promise((resolve) => (this.end = resolve));
  }

  async *read(): AsyncGenerator<Buffer, void, undefined> {
    try {
      while (this.asked < this.count) {
        this.asked += 1;
        // as what comes from a database does
        await new Promise(setImmediate);
        yield PIECE;
      }
    } finally {
      this.end();
    }
  }
}

describe('an answer in pieces', () => {
  let server: Server;
  let pieces: Pieces;
  let rest: Promise<unknown>;
  let socket: Socket;

  /** Asks for an answer of so many pieces, and waits for its first bytes. */
  async function call(count: number, stalledMs?: number): Promise<void> {
    pieces = new Pieces(count);
    const begun = new Promise<void>((resolve) => {
      server = createServer((_, response: ServerResponse) => {
        void sendJson(response as Response, { pieces: pieces.read() }, stalledMs).then((sent) => {
          rest = sent.rest.catch((error: unknown) => error);
          resolve();
        });
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    socket.on('error', () => undefined).write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await Promise.all([once(socket, 'readable'), begun]);
  }

  afterEach(() => {
    socket.destroy();
    server.close();
  });

  it('is read to its end by a client that takes all of it', async () => {
    await call(30);
    let bytes = 0;
    socket.on('data', (data: Buffer) => (bytes += data.length));
    await pieces.ended;
    expect(await rest).toBeUndefined();
    expect(pieces.asked).toBe(30);
    while (bytes < 30 * PIECE.length) await once(socket, 'data');
  });

  it('waits for a client that does not take it', async () => {
    await call(MANY);
    // the buffers are full when nothing was asked for in a long row of turns
    let waited = 0;
    for (let still = 0; still < 1000; still++) {
      if (pieces.asked > waited) still = 0;
      waited = pieces.asked;
      await new Promise(setImmediate);
    }
    expect(waited).toBeLessThan(MANY / 2);
    socket.resume();
    while (pieces.asked === waited) await once(socket, 'data');
  });

  it('is read no further when its client goes away', async () => {
    await call(MANY);
    socket.destroy();
    await pieces.ended;
    expect(pieces.asked).toBeLessThan(MANY);
    expect(await rest).toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
  });

  it('is cut off when its client takes nothing for too long', async () => {
    await call(MANY, 50);
    await pieces.ended;
    expect(pieces.asked).toBeLessThan(MANY);
    expect(await rest).toMatchObject({ code: 'ERR_STREAM_PREMATURE_CLOSE' });
    // what was sent before is still there to be read; the end is not that of an answer
    const all: Buffer[] = [];
    socket.on('data', (data: Buffer) => all.push(data));
    await once(socket, 'close');
    expect(Buffer.concat(all).toString().endsWith('0\r\n\r\n')).toBe(false);
  });
});
