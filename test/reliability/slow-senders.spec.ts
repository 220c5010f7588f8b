/** Proves on the built server that clients which send slowly, or nothing, get an error, are cut off, and block no other. */
import { setTimeout } from 'node:timers/promises';
import { build } from '../../server/test/operating/server-process.js';
import { FloodedServer } from './flooded-server.js';
import { uploadHead } from './paths.js';
import { RawConnection } from './raw-request.js';

describe('who sends slowly', () => {
  let server: FloodedServer | undefined;
  beforeAll(() => build());
  afterEach(() => server?.remove());

  const times = { HEADERS_TIMEOUT_MS: '1000', REQUEST_TIMEOUT_MS: '3000' };
  const half = uploadHead('alice', 'Content-Length: 100').slice(0, 60);

  it.each([
    ['nothing at all', '', 408],
    ['a half of a head', half, 408],
    ['a head, and of the body nothing', uploadHead('alice', 'Content-Length: 100'), 408],
    ['a head, and half a body', `${uploadHead('alice', 'Content-Length: 100')}{"rooms"`, 408],
    [
      'a head, and half a compressed body',
      uploadHead('alice', 'Content-Length: 9\r\nContent-Encoding: gzip'),
      408,
    ],
    ['a body that nobody reads', uploadHead('nobody', 'Content-Length: 100'), 401],
    [
      'an answered request, and half of another',
      `GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n${half}`,
      200,
    ],
  ])('%s, is cut off', async (_, text, status) => {
    const { url } = (server = await FloodedServer.start(['alice'], {
      ...times,
      BODY_IDLE_TIMEOUT_MS: '500',
    }));
    const connections = Array.from({ length: 100 }, () => new RawConnection(url));
    await Promise.all(connections.map((connection) => connection.send(text)));
    for (const connection of connections) {
      const answer = await connection.answer();
      expect(answer.status).toBe(status);
      await connection.closed;
    }
    const { status: later } = await server.wire.send('GET', '/health/ready');
    expect(later).toBe(200);
  });

  it('a byte now and then, is cut off when the time of a request is over', async () => {
    const { url } = (server = await FloodedServer.start(['alice'], {
      ...times,
      BODY_IDLE_TIMEOUT_MS: '60000',
    }));
    const inHead = new RawConnection(url);
    const inBody = new RawConnection(url);
    const unwanted = new RawConnection(url);
    await inHead.send('GET / HTTP/1.1\r\nX: ');
    await inBody.send(uploadHead('alice', 'Content-Length: 100000'));
    await unwanted.send(uploadHead('nobody', 'Content-Length: 100000'));
    const all = [inHead, inBody, unwanted];
    while (all.some(({ socket }) => !socket.destroyed)) {
      await Promise.all(all.map((connection) => connection.send(' ')));
      await setTimeout(20);
    }
    expect((await inHead.answer()).status).toBe(408);
    expect((await inBody.answer()).status).toBe(408);
    expect((await unwanted.answer()).status).toBe(401);
  });
});
