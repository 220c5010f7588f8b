import { once } from 'node:events';
import { connect } from 'node:net';

const PER_CONNECTION = 100;

/** A request of a burst. */
export interface BurstRequest {
  token: string;
  /** What a proxy writes into `X-Forwarded-For`. Default: no such header. */
  forwardedFor?: string | undefined;
}

/** Sends many requests with one token at once; returns the statuses. */
export async function burst(url: string, token: string, count: number): Promise<Set<string>> {
  const requests = Array.from({ length: count }, () => ({ token }));
  return new Set(await statusesOf(url, requests));
}

/**
 * Sends many requests at once, without waiting for answers between them; returns their statuses.
 *
 * Over a few connections: a thousand would not fit into the queue in which a server's new ones wait.
 */
export async function statusesOf(
  url: string,
  requests: readonly BurstRequest[],
): Promise<readonly string[]> {
  const { hostname, port } = new URL(url);
  const answers = await Promise.all(
    Array.from({ length: Math.ceil(requests.length / PER_CONNECTION) }, async (_, n) => {
      const own = requests.slice(n * PER_CONNECTION, (n + 1) * PER_CONNECTION);
      const socket = connect(Number(port), hostname);
      let text = '';
      socket.setEncoding('utf8').on('data', (part: string) => (text += part));
      socket.write(own.map(textOf).join(''));
      const statuses = () => [...text.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => status!);
      while (statuses().length < own.length) await once(socket, 'data');
      socket.destroy();
      return statuses();
    }),
  );
  return answers.flat();
}

function textOf({ token, forwardedFor }: BurstRequest): string {
  const forwarded = forwardedFor === undefined ? '' : `X-Forwarded-For: ${forwardedFor}\r\n`;
  return `GET /_matrix/client/v3/room_keys/version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n${forwarded}\r\n`;
}
