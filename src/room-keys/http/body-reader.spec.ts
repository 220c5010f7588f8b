/**
 * Proves that bodies which are read at the same time do not get into each other's memory, although
 * that memory is used again: whatever their lengths, however they come, and whoever breaks off.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { readBytes } from './body-reader.js';

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const reservation = { reserve: () => undefined, release: () => undefined };

let server: Server;
beforeAll(async () => {
  server = createServer((request, response) => {
    readBytes(request, { maxBytes: 2 ** 20, idleMs: 60_000, reservation }, sha256).then(
      (hash) => response.end(hash),
      () => response.destroy(),
    );
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

interface Sending {
  body: Buffer;
  /** Bytes of it that are sent before its sender goes away; all of them where it stays. */
  until: number;
  chunked: boolean;
}

/** Sends a body piece by piece, so that others come in between; resolves with what was answered. */
async function send({ body, until, chunked }: Sending): Promise<string> {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const answer: Buffer[] = [];
  const closed = once(
    socket.on('data', (piece: Buffer) => answer.push(piece)),
    'close',
  );
  const framing = chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${body.length}`;
  socket.write(`PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${framing}\r\n\r\n`);
  const piece = Math.ceil(body.length / 7);
  for (let at = 0; at < until; at += piece) {
    const bytes = body.subarray(at, Math.min(until, at + piece));
    if (chunked) socket.write(`${bytes.length.toString(16)}\r\n`);
    socket.write(bytes);
    if (chunked) socket.write('\r\n');
    await sleep(body.length % 5);
  }
  if (until < body.length) socket.destroy();
  else if (chunked) socket.write('0\r\n\r\n');
  await closed;
  return Buffer.concat(answer).toString().split('\r\n\r\n')[1] ?? '';
}

/** A body that no other one is like, in any of its parts. */
const bodyOf = (n: number, length: number) =>
  Buffer.alloc(length, createHash('sha256').update(String(n)).digest('base64'));

it('bodies that are read at the same time stay apart', async () => {
  // below, among and above the lengths whose memory is kept, each length several times
  const lengths = [
    ...[1, 900, 16_383, 16_384, 16_385, 64_000, 86_000, 86_001, 131_072, 200_000, 262_143],
    ...[262_144, 262_145, 400_000],
  ];
  const sendings = Array.from({ length: 300 }, (_, n): Sending => {
    const body = bodyOf(n, lengths[n % lengths.length] ?? 0);
    const breaksOff = n % 5 === 4;
    return {
      body,
      until: breaksOff ? Math.floor(body.length / 2) : body.length,
      chunked: n % 7 < 2,
    };
  });
  for (let from = 0; from < sendings.length; from += 60) {
    const some = sendings.slice(from, from + 60);
    const answers = await Promise.all(some.map(send));
    some.forEach(({ body, until }, n) => {
      expect(answers[n]).toBe(until < body.length ? '' : sha256(body));
    });
  }
});

it('a body holds nothing of the one before it', async () => {
  await send({ body: bodyOf(1, 100_000), until: 100_000, chunked: false });
  const short = bodyOf(2, 20_000);
  expect(await send({ body: short, until: 20_000, chunked: false })).toBe(sha256(short));
});
