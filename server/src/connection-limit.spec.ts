/** Proves which connection is closed when there are too many: the one that is idle longest, and never one that is busy. */
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { ConnectionLimit, connectionsWithin, openFilesLimit } from './connection-limit.js';

const MOST = 3;

describe('the limit of connections', () => {
  let server: Server;
  let limit: ConnectionLimit;
  let clients: Socket[];
  let unanswered: ServerResponse[];

  beforeEach(async () => {
    clients = [];
    unanswered = [];
    limit = new ConnectionLimit(MOST);
    server = createServer((request, response) => {
      if (request.url === '/wait') unanswered.push(response);
      else response.end('done');
    });
    limit.watch(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(() => {
    for (const client of clients) client.destroy();
    server.closeAllConnections();
    server.close();
  });

  /** A connection that the server has accepted. */
  async function open(): Promise<Socket> {
    const accepted = once(server, 'connection');
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    client.on('error', () => undefined);
    clients.push(client);
    await accepted;
    return client;
  }

  const request = (client: Socket, path: string) =>
    client.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);

  async function exchange(client: Socket): Promise<void> {
    request(client, '/');
    const [answer] = (await once(client, 'data')) as [Buffer];
    expect(answer.toString()).toContain('200 OK');
    while (limit.counts.busy > unanswered.length) await new Promise(setImmediate);
  }

  async function keepWaiting(client: Socket): Promise<void> {
    const asked = once(server, 'request');
    request(client, '/wait');
    await asked;
  }

  const closed = (client: Socket) => {
    client.resume();
    return client.closed ? Promise.resolve() : once(client, 'close');
  };

  it('closes the one that has sent nothing for longest', async () => {
    const [first, second, third] = [await open(), await open(), await open()];
    await exchange(first);
    const fourth = await open();
    await closed(second);
    for (const client of [first, third, fourth]) await exchange(client);
    expect(limit.counts).toEqual({ idle: 3, busy: 0, evicted: 1 });
  });

  it('does not close one on which a request is under way', async () => {
    const [first, second, third] = [await open(), await open(), await open()];
    await keepWaiting(first);
    await keepWaiting(second);
    const fourth = await open();
    await closed(third);
    await exchange(fourth);
    expect(limit.counts).toEqual({ idle: 1, busy: 2, evicted: 1 });
    unanswered.splice(0).forEach((response) => response.end('done'));
    for (const client of [first, second]) await once(client, 'data');
  });

  it('closes the new one where a request is under way on each', async () => {
    const busy = [await open(), await open(), await open()];
    for (const client of busy) await keepWaiting(client);
    await closed(await open());
    expect(limit.counts).toEqual({ idle: 0, busy: 3, evicted: 1 });
    unanswered.splice(0).forEach((response) => response.end('done'));
    for (const client of busy) await once(client, 'data');
    while (limit.counts.busy > 0) await new Promise(setImmediate);
    await exchange(await open());
  });

  it('forgets those that leave, in the middle of a request too', async () => {
    const [first, second] = [await open(), await open()];
    await keepWaiting(first);
    first.destroy();
    second.destroy();
    while (limit.counts.idle + limit.counts.busy > 0) await new Promise(setImmediate);
    expect(limit.counts.evicted).toBe(0);
  });
});

describe('the connections that the limit of open files allows', () => {
  it.each([
    [undefined, 10_000],
    [Infinity, Infinity],
    [256, 128],
    [1024, 512],
    [2048, 1408],
    [1_048_576, 1_047_936],
  ])('of %p are %p', (openFiles, connections) => {
    expect(connectionsWithin(openFiles)).toBe(connections);
  });

  it('are those of this process', () => {
    expect(openFilesLimit()).toBeGreaterThan(100);
  });
});
