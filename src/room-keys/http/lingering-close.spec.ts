/**
 * Proves that a body which nobody wants is read on for as long as its client needs to hear the answer,
 * and no longer: neither without end, nor without a pause, nor when nothing comes any more.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { lingeringClose } from './room-keys.middleware.js';
import { RoomKeysRequest } from './room-keys.request.js';

let server: Server;
let sockets: Socket[];
let linger: { ms: number; bytes: number };

beforeEach(async () => {
  sockets = [];
  linger = { ms: 60_000, bytes: 2 ** 40 };
  server = createServer((request, response) => {
    lingeringClose(request, response, linger);
    if (RoomKeysRequest.of(request).closesAfter(200)) response.setHeader('Connection', 'close');
    response.end('no');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  server.closeAllConnections();
  server.close();
});

/** A connection that has sent the head of a request with a body of so many bytes, and has its answer. */
async function refused(length: number): Promise<Socket> {
  const { port } = server.address() as AddressInfo;
  const socket = connect(port, '127.0.0.1');
  // one that is cut off while it sends
  socket.on('error', () => undefined);
  sockets.push(socket);
  socket.write(`PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`);
  await answered(socket);
  return socket;
}

async function answered(socket: Socket): Promise<void> {
  let text = '';
  const onData = (piece: Buffer) => (text += piece.toString());
  socket.on('data', onData);
  while (!text.endsWith('no')) await once(socket, 'data');
  socket.off('data', onData);
}

/** Also by a reset, on which `once` would fail. */
const closing = (socket: Socket) =>
  new Promise<void>((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });

it('lets a client send what it has, and ask again on the same connection', async () => {
  const socket = await refused(3_000_000);
  for (let n = 0; n < 3; n++) socket.write(Buffer.alloc(1_000_000));
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await answered(socket);
  expect(socket.destroyed).toBe(false);
});

it('lets a client send what it has, and then hear the answer, when the connection is to be closed', async () => {
  const { port } = server.address() as AddressInfo;
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  sockets.push(socket);
  let text = '';
  const closed = closing(socket);
  socket.write(
    'PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 20000000\r\n\r\n',
  );
  // it reads nothing before it is through
  await new Promise((resolve) => socket.write(Buffer.alloc(20_000_000), resolve));
  socket.on('data', (piece: Buffer) => (text += piece.toString()));
  await closed;
  expect(text).toMatch(/^HTTP\/1\.1 200 [^]*\r\nConnection: close\r\n[^]*no$/);
});

it('says that the connection is closed where the rest may be longer than what is read of it', async () => {
  linger = { ms: 60_000, bytes: 1000 };
  for (const [framing, isClosed] of [
    ['Content-Length: 1000', false],
    ['Content-Length: 1001', true],
    ['Transfer-Encoding: chunked', true],
  ] as const) {
    const { port } = server.address() as AddressInfo;
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    socket.write(`PUT / HTTP/1.1\r\nHost: x\r\n${framing}\r\n\r\n`);
    const [head] = (await once(socket, 'data')) as [Buffer];
    expect(head.toString().includes('\r\nConnection: close\r\n')).toBe(isClosed);
    if (isClosed) await closing(socket);
  }
});

it('cuts off a client that sends more than it may', async () => {
  linger = { ms: 60_000, bytes: 1_000_000 };
  const socket = await refused(1e15);
  const closed = closing(socket);
  const piece = Buffer.alloc(100_000);
  const send = () => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.on('drain', send);
  send();
  await closed;
});

it('cuts off a client that sends slowly, or nothing', async () => {
  linger = { ms: 300, bytes: 2 ** 40 };
  const [slow, silent] = [await refused(1e15), await refused(10)];
  const closed = [slow, silent].map(closing);
  const sending = setInterval(() => slow.write('x'), 50);
  await Promise.all(closed);
  clearInterval(sending);
});
