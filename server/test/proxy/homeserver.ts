import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { register, testHomeserver } from '../../../test/homeserver/synapse.js';

const PASSWORD = randomBytes(16).toString('hex');

/** A homeserver with one user, who is not logged in. */
export interface Homeserver {
  url: string;
  user: string;
  password: string;
  close: () => Promise<void>;
}

const real = testHomeserver();

/** The real one that the environment names, with a new user; else one that knows three operations. */
export async function startHomeserver(): Promise<Homeserver> {
  if (!real) return startFakeHomeserver();
  const { user_id: user, password } = await register(real);
  return { url: real.url, user, password, close: () => Promise.resolve() };
}

async function startFakeHomeserver(): Promise<Homeserver> {
  const token = randomBytes(16).toString('hex');
  const owner = { user_id: '@alice:hs1', device_id: 'PHONE' };
  const answerOf = (request: IncomingMessage): [status: number, body: object] => {
    switch (`${request.method!} ${request.url!}`) {
      case 'GET /_matrix/client/versions':
        return [200, { versions: ['v1.11'], unstable_features: {} }];
      case 'POST /_matrix/client/v3/login':
        return [200, { ...owner, access_token: token }];
      case 'GET /_matrix/client/v3/account/whoami':
        return request.headers.authorization === `Bearer ${token}`
          ? [200, owner]
          : [401, { errcode: 'M_UNKNOWN_TOKEN', error: 'Unrecognised access token' }];
      default:
        // with the path as it came, which a proxy may not have touched
        return [404, { errcode: 'M_UNRECOGNIZED', error: `${request.url!} is unknown here` }];
    }
  };
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      const [status, body] = answerOf(request);
      response.writeHead(status, {
        'Content-Type': 'application/json',
        'Access-Control-Allow-Origin': '*',
      });
      response.end(JSON.stringify(body));
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    user: 'alice',
    password: PASSWORD,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
