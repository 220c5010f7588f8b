/** Proves on the built server, in a process that may have 2,048 files open, that idle connections keep no client out. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { build, ServerProcess } from './server-process.js';

const OPEN_FILES = 2048;
const IDLE = 4000;
/** No more than what the kernel keeps for a server that does not take connections: 511, Node's backlog. */
const BURST = 500;

describe('a server with 2,048 descriptors', () => {
  let server: ServerProcess;
  let url: string;
  let metrics: string;
  let sockets: Socket[];

  beforeAll(() => build());
  beforeEach(async () => {
    sockets = [];
    server = new ServerProcess({ DATABASE_URL: 'sqlite::memory:' }, undefined, OPEN_FILES);
    ({ url, metrics } = await server.serving());
  });
  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    await server.stop('SIGKILL');
  });

  function open(): Socket {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    socket.on('error', () => undefined).resume();
    sockets.push(socket);
    return socket;
  }

  async function openMany(count: number, text: string): Promise<void> {
    for (let opened = 0; opened < count; opened += 200) {
      const some = Array.from({ length: 200 }, open);
      await Promise.all(some.map((socket) => once(socket, 'connect')));
      for (const socket of some) socket.write(text);
    }
  }

  async function expectServed(): Promise<void> {
    for (let n = 0; n < 10; n++) {
      const response = await fetch(`${url}/health/live`, {
        headers: { connection: 'close' },
        signal: AbortSignal.timeout(240_000),
      });
      expect(response.status).toBe(200);
    }
  }

  it.each([
    ['that send nothing', ''],
    ['that send half a head', 'GET /health/live HTTP/1.1\r\n'],
    ['that keep alive after a request', 'GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n'],
  ])('serves new clients beside 4,000 connections %s', async (_, text) => {
    await openMany(IDLE, text);
    await expectServed();
    const exposition = await (await fetch(metrics)).text();
    expect(exposition).toMatch(/^room_keys_client_connections\{state="idle"\} 1[0-9]{3}$/m);
    expect(exposition).toMatch(/^room_keys_client_connections_evicted_total [2-9][0-9]{3}$/m);
  });

  it('takes 500 connections in one turn of its event loop', async () => {
    await openMany(IDLE, '');
    // once it answers, it has taken all of them: the kernel keeps no more than one burst
    await expectServed();
    for (let n = 0; n < 3; n++) {
      server.kill('SIGSTOP');
      const burst = Array.from({ length: BURST }, open);
      await Promise.all(burst.map((socket) => once(socket, 'connect')));
      server.kill('SIGCONT');
      await sleep(200);
      await expectServed();
    }
    expect(server.output).not.toContain('EMFILE');
  });
});
