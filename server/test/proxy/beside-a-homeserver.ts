import { randomBytes } from 'node:crypto';
import { type Relay, startRelay } from '../../../test/homeserver/synapse.js';
import { keyData, keyPath, MatrixClient, roomsBody } from '../../../test/support/matrix-client.js';
import type { StartProxy } from './configuration.js';
import { type Homeserver, startHomeserver } from './homeserver.js';
import { freePort, serverProgram, type Running, startBuiltServer } from './processes.js';

/** What each proxy has to pass: both servers behind it answer as if it were not there. */
export function describeBesideAHomeserver(name: string, debian: string, start: StartProxy): void {
  const program = serverProgram(name, debian);
  (program ? describe : describe.skip)(`beside a homeserver, behind ${name}`, () => {
    let homeserver: Homeserver;
    let relay: Relay;
    let server: Running | undefined;
    let proxy: Running | undefined;
    let token: string;

    beforeAll(async () => {
      homeserver = await startHomeserver();
      relay = await startRelay({ url: homeserver.url, secret: '' });
      server = await startBuiltServer(relay.url);
      proxy = await start(program!, {
        proxy: `127.0.0.1:${await freePort()}`,
        roomKeys: new URL(server.url).host,
        homeserver: new URL(homeserver.url).host,
      });
      token = await logIn(proxy.url, homeserver);
    });

    afterAll(async () => {
      await proxy?.stop();
      await server?.stop();
      await relay.block();
      await homeserver.close();
    });

    const client = (prefix?: string) => new MatrixClient(proxy!.url, token, prefix);

    /** The same request to a server and to the proxy: the same answer. */
    const sameAsFrom = async (url: string, path: string, request: RequestInit = {}) => {
      const [direct, proxied] = [
        await seen(url, path, request),
        await seen(proxy!.url, path, request),
      ];
      expect(proxied).toEqual(direct);
      return proxied;
    };

    it('backs up and restores 100 keys with the token that the homeserver gave', async () => {
      const version = await client().createBackup();
      const keys = realKeys(100);
      expect(await client().put(`/keys?version=${version}`, roomsBody(keys))).toMatchObject({
        status: 200,
        body: { count: 100 },
      });
      expect(await client().get(`/keys?version=${version}`)).toMatchObject({
        status: 200,
        body: roomsBody(keys),
      });
      for (const [room, session, key] of keys.slice(0, 10)) {
        const path = keyPath(room, session);
        expect((await client().get(`${path}?version=${version}`)).body).toEqual(key);
      }
    });

    it('has each request carry an id of the proxy, whatever the client says', async () => {
      const ids = [];
      for (let n = 0; n < 2; n++) {
        const answer = await client().send('GET', '/version', undefined, {});
        ids.push(answer.headers.get('x-request-id'));
        const { headers } = await fetch(`${proxy!.url}/_matrix/client/v3/room_keys/version`, {
          headers: { 'X-Request-Id': 'the-client-says' },
        });
        ids.push(headers.get('x-request-id'));
      }
      expect(new Set(ids).size).toBe(4);
      for (const id of ids) expect(id).toMatch(/^[\da-f-]{32,36}$/);
    });

    it.each([
      [
        'EYB5f3U1cbOvLQB3RxwPTlKE/b6UyDUw74doOEGUrmA',
        'EYB5f3U1cbOvLQB3RxwPTlKE%2Fb6UyDUw74doOEGUrmA',
      ],
      ['small/letters', 'small%2fletters'],
      ['a/b+c%d=e', 'a%2Fb%2Bc%25d%3De'],
      ['bare+and=', 'bare+and='],
      ['two//slashes', 'two%2F%2Fslashes'],
      ['it looks encoded: %2F', 'it%20looks%20encoded%3A%20%252F'],
      ['a?b#c;d&e\\f', 'a%3Fb%23c%3Bd%26e%5Cf'],
      ['ü', '%C3%BC'],
    ])('a session id that is %s arrives as that from %s', async (session, encoded) => {
      const version = await client().createBackup();
      // the room as clients write it
      const path = `/keys/!NhgaRTDyfsYCcfagxc%3Ahs1/${encoded}?version=${version}`;
      const key = keyData();
      expect(await client().put(path, key)).toMatchObject({ status: 200, body: { count: 1 } });
      expect(await client().get(path)).toMatchObject({ status: 200, body: key });
      expect((await client().get(`/keys?version=${version}`)).body).toEqual(
        roomsBody([[ROOM, session, key]]),
      );
      expect((await client().delete(path)).body).toMatchObject({ count: 0 });
    });

    it('serves old clients too', async () => {
      const version = await client().createBackup();
      for (const prefix of ['/_matrix/client/r0/room_keys', '/_matrix/client/unstable/room_keys'])
        expect((await client(prefix).get('/version')).body).toMatchObject({ version });
    });

    it('an upload of 4 MB passes, and is read back as it would be without the proxy', async () => {
      const version = await client().createBackup();
      const body = JSON.stringify(roomsBody(realKeys(4800)));
      expect(body.length).toBeGreaterThan(4_000_000);
      const path = `/_matrix/client/v3/room_keys/keys?version=${version}`;
      const headers = { Authorization: `Bearer ${token}` };
      expect(await seen(proxy!.url, path, { method: 'PUT', headers, body })).toMatchObject({
        status: 200,
        text: expect.stringContaining('"count":4800'),
      });
      const { text } = await sameAsFrom(server!.url, path, { headers });
      expect(text.length).toBeGreaterThan(4_000_000);
    });

    it('an upload that is too large is refused in the words of Matrix', async () => {
      const answer = await client().send(
        'PUT',
        '/keys?version=1',
        ' '.repeat(16 * 1024 * 1024 + 1),
      );
      expect(answer).toMatchObject({ status: 413, body: { errcode: 'M_TOO_LARGE' } });
      expect(answer.headers.get('access-control-allow-origin')).toBe('*');
    });

    it.each<[string, number, string, () => RequestInit]>([
      ['no token', 401, '/version', () => ({})],
      ['a token that is none', 401, '/version', () => as('nonsense')],
      ['no backup of this version', 404, '/version/99', () => as(token)],
      [
        'a version that is not the current one',
        403,
        '/keys?version=1',
        () => as(token, 'PUT', '{"rooms":{}}'),
      ],
      ['no JSON', 400, '/version', () => as(token, 'POST', '{')],
      ['an unknown path', 404, '/nothing', () => as(token)],
      ['a wrong method', 405, '/version', () => as(token, 'PATCH', '{}')],
      ['a preflight', 204, '/version', () => ({ method: 'OPTIONS' })],
    ])('the answer to %s arrives unchanged', async (_, status, path, request) => {
      await client().createBackup();
      const answer = await sameAsFrom(
        server!.url,
        `/_matrix/client/v3/room_keys${path}`,
        request(),
      );
      expect(answer.status).toBe(status);
      expect(answer.headers).toMatchObject({
        'access-control-allow-origin': '*',
        'access-control-allow-methods': 'GET, POST, PUT, DELETE, OPTIONS',
        'access-control-allow-headers': 'X-Requested-With, Content-Type, Authorization',
      });
    });

    it('while the homeserver is unavailable, a client gets that error', async () => {
      await relay.block();
      try {
        const answer = await new MatrixClient(proxy!.url, 'never-seen').get('/version');
        expect(answer).toMatchObject({ status: 503, body: { errcode: 'M_UNKNOWN' } });
        expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
        expect(answer.headers.get('access-control-allow-origin')).toBe('*');
        expect((await client().get('/version')).status).toBe(200);
      } finally {
        await relay.open();
      }
    });

    it.each([
      ['/_matrix/client/versions', 200],
      ['/_matrix/client/v3/account/whoami', 200],
      ['/_matrix/client/v3/directory/room/%23nobody%2Fhere%3Ahs1', 404],
      ['/_matrix/client/v3/room_keys_of_others/version', 404],
      ['/_matrix/client/v1/room_keys/version', 404],
      ['/_matrix/client/V3/room_keys/version', 404],
      ['/_matrix/client/v3/profile/room_keys/version', undefined],
    ])('%s is answered by the homeserver', async (path, status) => {
      const answer = await sameAsFrom(homeserver.url, path, as(token));
      if (status !== undefined) expect(answer.status).toBe(status);
    });
  });
}

const ROOM = '!NhgaRTDyfsYCcfagxc:hs1';

/** Of the size that clients send, with session ids of the form that they have. */
function realKeys(count: number) {
  const base64 = (bytes: number) => randomBytes(bytes).toString('base64').replaceAll('=', '');
  return Array.from({ length: count }, () => {
    const session_data = { ephemeral: base64(32), ciphertext: base64(480), mac: base64(8) };
    return [ROOM, base64(32), keyData({ session_data })] as const;
  });
}

async function logIn(url: string, { user, password }: Homeserver): Promise<string> {
  const { status, text } = await seen(url, '/_matrix/client/v3/login', {
    method: 'POST',
    body: JSON.stringify({
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user },
      password,
    }),
  });
  if (status !== 200) throw new Error(`Logging in failed: ${status} ${text}`);
  return (JSON.parse(text) as { access_token: string }).access_token;
}

function as(token: string, method = 'GET', body?: string): RequestInit {
  return { method, headers: { Authorization: `Bearer ${token}` }, ...(body && { body }) };
}

/** All of an answer but what belongs to the connection and to the moment. */
async function seen(url: string, path: string, request: RequestInit = {}) {
  const response = await fetch(url + path, request);
  const headers = Object.fromEntries(response.headers);
  // of the connection, or of this one request
  for (const name of [
    ...['connection', 'keep-alive', 'date', 'server', 'transfer-encoding', 'via'],
    'x-request-id',
  ])
    Reflect.deleteProperty(headers, name);
  return { status: response.status, headers, text: await response.text() };
}
