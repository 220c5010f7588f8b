import { once } from 'node:events';
import { connect } from 'node:net';

const PER_CONNECTION = 100;

/**
 * Sends many requests at once, without waiting for answers between them; returns the statuses.
 *
 * Over a few connections: a thousand would not fit into the queue in which a server's new ones wait.
 */
export async function burst(url: string, token: string, count: number): Promise<Set<string>> {
  const { hostname, port } = new URL(url);
  const request = `GET /_matrix/client/v3/room_keys/version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`;
  const answers = await Promise.all(
    Array.from({ length: count / PER_CONNECTION }, async () => {
      const socket = connect(Number(port), hostname);
      let text = '';
      socket.setEncoding('utf8').on('data', (part: string) => (text += part));
      socket.write(request.repeat(PER_CONNECTION));
      const statuses = () => [...text.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => status!);
      while (statuses().length < PER_CONNECTION) await once(socket, 'data');
      socket.destroy();
      return statuses();
    }),
  );
  return new Set(answers.flat());
}
