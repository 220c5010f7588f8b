import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

/** A homeserver that tests may make users at. */
export interface TestHomeserver {
  url: string;
  /** Of Synapse's `registration_shared_secret`. */
  secret: string;
}

/** The one that the environment names; where none is, says in one line how to name one. */
export function testHomeserver(): TestHomeserver | undefined {
  const { TEST_HOMESERVER_URL: url, TEST_HOMESERVER_REGISTRATION_SECRET: secret } = process.env;
  if (url && secret) return { url: url.replace(/\/+$/, ''), secret };
  if (url || secret)
    throw new Error(
      'TEST_HOMESERVER_URL and TEST_HOMESERVER_REGISTRATION_SECRET: set both, or none',
    );
  process.stderr.write(
    'A real homeserver is left out: none is named. To include a Synapse, set TEST_HOMESERVER_URL=http://127.0.0.1:8008 and TEST_HOMESERVER_REGISTRATION_SECRET to its registration_shared_secret\n',
  );
  return undefined;
}

/** Its database, which the environment names too; where it does not, says in one line how to name it. */
export function testHomeserverDatabase(): string | undefined {
  const url = process.env.TEST_SYNAPSE_DATABASE_URL;
  if (url) return url;
  process.stderr.write(
    "A real homeserver's database is left out: none is named. To include that of the Synapse, set TEST_SYNAPSE_DATABASE_URL=postgres://synapse:password@127.0.0.1:5432/synapse\n",
  );
  return undefined;
}

/** A user with a device that is logged in. */
export interface TestUser {
  user_id: string;
  password: string;
  device_id: string;
  access_token: string;
}

/** Makes a user, by Synapse's registration with a shared secret. */
export async function register(
  { url, secret }: TestHomeserver,
  admin: 'admin' | 'notadmin' = 'notadmin',
): Promise<TestUser> {
  const endpoint = `${url}/_synapse/admin/v1/register`;
  const { nonce } = (await (await fetch(endpoint)).json()) as { nonce: string };
  const username = `test-${randomBytes(8).toString('hex')}`;
  const password = randomBytes(16).toString('hex');
  const mac = createHmac('sha1', secret)
    .update([nonce, username, password, admin].join('\0'))
    .digest('hex');
  const response = await fetch(endpoint, {
    method: 'POST',
    body: JSON.stringify({ nonce, username, password, admin: admin === 'admin', mac }),
  });
  if (!response.ok)
    throw new Error(`Registration failed: ${response.status} ${await response.text()}`);
  return { ...((await response.json()) as Omit<TestUser, 'password'>), password };
}

/** Calls the homeserver with a token. */
export async function call(
  { url }: TestHomeserver,
  token: string,
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; text: string }> {
  const response = await fetch(url + path, {
    method,
    headers: { Authorization: `Bearer ${token}` },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: response.status, text: await response.text() };
}

/** A way to the homeserver that can be blocked and opened again. */
export interface Relay {
  url: string;
  /** Ends all connections and takes no more. */
  block: () => Promise<void>;
  open: () => Promise<void>;
}

export async function startRelay(homeserver: TestHomeserver): Promise<Relay> {
  const { hostname, port } = new URL(homeserver.url);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.pipe(to);
      from
        .on('error', () => to.destroy())
        .on('close', () => {
          sockets.delete(from);
          to.destroy();
        });
    }
  });
  let listenAt = 0;
  const open = async () => {
    server.listen(listenAt, '127.0.0.1');
    await once(server, 'listening');
    listenAt = (server.address() as AddressInfo).port;
  };
  const block = async () => {
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  await open();
  return { url: `http://127.0.0.1:${listenAt}`, block, open };
}
