import { once } from 'node:events';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request that the service got. */
export interface Received {
  method: string;
  /** Path and query. */
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/** A service on a port of its own that answers what a test tells it to. */
export interface FakeService {
  /** Such as `http://127.0.0.1:40123`. */
  url: string;
  /** All that came, in order. */
  received: Received[];
  /** How many connections were made. */
  connections: () => number;
  /** What it does with requests from now on. */
  answer: Answer;
  /** Ends it, with all connections. */
  close: () => Promise<void>;
}

export type Answer = (response: ServerResponse, request: Received) => unknown;

/** An answer in JSON. */
export const json =
  (status: number, body: unknown, headers: Record<string, string> = {}): Answer =>
  (response) =>
    response
      .writeHead(status, { 'Content-Type': 'application/json', ...headers })
      .end(JSON.stringify(body));

/** An answer in another form, or broken JSON. */
export const text =
  (status: number, body: string | Buffer, headers: Record<string, string> = {}): Answer =>
  (response) =>
    response.writeHead(status, { 'Content-Type': 'text/html', ...headers }).end(body);

/** Starts a service, on any free port by default. */
export async function startService(answer: Answer, port = 0): Promise<FakeService> {
  const server = createServer((request, response) => {
    void receive(request).then((received) => {
      service.received.push(received);
      service.answer(response, received);
    });
  });
  let connections = 0;
  server.on('connection', () => connections++);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const service: FakeService = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received: [],
    connections: () => connections,
    answer,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
  return service;
}

/** The request that a client sent us, as far as verifiers look at it. */
export function clientRequest(query = ''): IncomingMessage {
  return { url: `/_matrix/client/v3/room_keys/version${query}` } as IncomingMessage;
}

async function receive(request: IncomingMessage): Promise<Received> {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) body += chunk as string;
  return { method: request.method ?? '', url: request.url ?? '', headers: request.headers, body };
}
