/**
 * Proves what is asked of a homeserver, that what it says about a token is passed on as it is, and
 * that everything else which it may do, from silence to nonsense, is no answer, and never a 401.
 */
import { gzipSync } from 'node:zlib';
import {
  type Answer,
  clientRequest,
  type FakeService,
  json,
  startService,
  text,
} from '../../test/homeserver/fake-service.js';
import { MatrixError } from '../room-keys/room-keys.errors.js';
import { homeserverTokens } from './homeserver-tokens.js';

const ALICE = { user_id: '@alice:hs1', device_id: 'PHONE', is_guest: false };
const TOKEN = 'syt_YWxpY2U_hunter2_0AbCdE';

let homeserver: FakeService;

beforeEach(async () => {
  homeserver = await startService(json(200, ALICE));
});
afterEach(() => homeserver.close());

const verify = (token = TOKEN, query = '', timeoutMs = 5000) =>
  homeserverTokens({ homeserverUrl: homeserver.url, timeoutMs })(token, clientRequest(query));

const failure = async (asked: ReturnType<typeof verify>): Promise<Error> => {
  try {
    await asked;
  } catch (error) {
    return error as Error;
  }
  throw new Error('The token was accepted.');
};

describe('whoami', () => {
  it('is called with the token of the client', async () => {
    expect(await verify()).toEqual({ userId: '@alice:hs1', deviceId: 'PHONE', isGuest: false });
    expect(homeserver.received).toHaveLength(1);
    expect(homeserver.received[0]).toMatchObject({
      method: 'GET',
      url: '/_matrix/client/v3/account/whoami',
      headers: { authorization: `Bearer ${TOKEN}` },
      body: '',
    });
  });

  it.each(['', '/', '/below', '/below/'])('is found at a URL that ends in %j', async (path) => {
    const verifier = homeserverTokens({ homeserverUrl: homeserver.url + path });
    await verifier(TOKEN, clientRequest());
    expect(homeserver.received[0]?.url).toBe(
      `${path.replace(/\/$/, '')}/_matrix/client/v3/account/whoami`,
    );
  });

  it('says who is a guest', async () => {
    homeserver.answer = json(200, { ...ALICE, is_guest: true });
    expect(await verify()).toMatchObject({ isGuest: true });
  });

  it.each([{ user_id: '@alice:hs1' }, { user_id: '@alice:hs1', device_id: null }])(
    'may name no device: %j',
    async (body) => {
      homeserver.answer = json(200, body);
      expect(await verify()).toEqual({ userId: '@alice:hs1', deviceId: undefined, isGuest: false });
    },
  );

  it('receives the user that an application service acts as, and no other part of the query', async () => {
    const query = new URLSearchParams([
      ['version', '1'],
      ['user_id', '@_irc_é&=:hs1'],
      ['user_id', '@second:hs1'],
      ['access_token', 'hunter2'],
      ['device_id', 'A/B'],
      ['org.matrix.msc3202.device_id', 'OLD'],
    ]);
    await verify(TOKEN, `?${query.toString()}`);
    const asked = new URL(homeserver.received[0]!.url, homeserver.url).searchParams;
    expect([...asked]).toEqual([
      ['user_id', '@_irc_é&=:hs1'],
      ['device_id', 'A/B'],
      ['org.matrix.msc3202.device_id', 'OLD'],
    ]);
  });

  it('is called over one connection', async () => {
    const verifier = homeserverTokens({ homeserverUrl: homeserver.url });
    for (let n = 0; n < 50; n++) {
      // answers of all kinds leave it in order
      homeserver.answer =
        n % 2 ? json(200, ALICE) : json(401, { errcode: 'M_UNKNOWN_TOKEN', error: '' });
      await Promise.resolve(verifier(TOKEN, clientRequest())).catch(() => null);
    }
    expect(homeserver.received).toHaveLength(50);
    // a question may come before the connection of the last one is seen to be free
    expect(homeserver.connections()).toBeLessThanOrEqual(2);
  });

  it.each(['tökén€', 'a\nb', 'a b', 'a\0b', '\u{1f511}'])(
    'is not asked about what no header can carry: %j is nobody’s',
    async (token) => {
      expect(await verify(token)).toBeNull();
      expect(homeserver.received).toEqual([]);
    },
  );
});

describe('what the homeserver says about a token', () => {
  it.each([
    [401, { errcode: 'M_UNKNOWN_TOKEN', error: 'Invalid access token passed.' }],
    [401, { errcode: 'M_UNKNOWN_TOKEN', error: 'Expired', soft_logout: true }],
    [401, { errcode: 'M_UNKNOWN_TOKEN', error: 'Token is not active', soft_logout: false }],
    [401, { errcode: 'M_USER_LOCKED', error: 'User account has been locked', soft_logout: true }],
    [401, { errcode: 'M_MISSING_TOKEN', error: 'Missing access token' }],
    [403, { errcode: 'M_USER_SUSPENDED', error: 'Suspended' }],
    [403, { errcode: 'M_USER_DEACTIVATED', error: 'Deactivated' }],
    [403, { errcode: 'M_FORBIDDEN', error: 'Application service cannot masquerade' }],
    [403, { errcode: 'ORG_MATRIX_EXPIRED_ACCOUNT', error: 'Expired', 'org.x': { a: [1] } }],
  ])('reaches the client as it is: %i %j', async (status, body) => {
    homeserver.answer = json(status, body);
    const error = await failure(verify());
    expect(error).toBeInstanceOf(MatrixError);
    expect((error as MatrixError).getStatus()).toBe(status);
    expect((error as MatrixError).body).toEqual(body);
  });

  it('reaches an application service also when its request was wrong', async () => {
    const body = { errcode: 'M_UNKNOWN_DEVICE', error: 'No such device' };
    homeserver.answer = json(400, body);
    const error = await failure(verify(TOKEN, '?user_id=@a:hs1&device_id=X'));
    expect(error).toMatchObject({ status: 400, body });
  });

  it('needs no text for people', async () => {
    homeserver.answer = json(401, { errcode: 'M_UNKNOWN_TOKEN' });
    const error = await failure(verify());
    expect(error).toMatchObject({
      status: 401,
      body: { errcode: 'M_UNKNOWN_TOKEN', error: expect.stringMatching(/./) },
    });
  });
});

describe('no answer about a token', () => {
  const tokenError = { errcode: 'M_UNKNOWN_TOKEN', error: 'Invalid access token passed.' };
  const cases: [string, Answer][] = [
    ['500', json(500, { errcode: 'M_UNKNOWN', error: 'Internal server error' })],
    ['500 that speaks of tokens', json(500, tokenError)],
    ['502 of a proxy', text(502, '<html>Bad Gateway</html>')],
    ['503', json(503, { errcode: 'M_UNKNOWN', error: 'Busy' }, { 'Retry-After': '30' })],
    ['429', json(429, { errcode: 'M_LIMIT_EXCEEDED', error: 'Slow', retry_after_ms: 1 })],
    ['404', json(404, { errcode: 'M_UNRECOGNIZED', error: 'Unrecognized request' })],
    ['404 of a web server', text(404, 'Not Found')],
    ['400 for an unknown path', json(400, { errcode: 'M_UNRECOGNIZED', error: 'What?' })],
    ['401 of a proxy', text(401, '<html>Who are you?</html>')],
    ['401 in JSON that is not Matrix’s', json(401, { error: 'unauthorized' })],
    ['401 whose errcode is no text', json(401, { errcode: 7, error: 'x' })],
    ['401 whose errcode is empty', json(401, { errcode: '', error: 'x' })],
    ['401 whose JSON is a list', json(401, [tokenError])],
    ['401 whose JSON is null', json(401, null)],
    ['401 without a body', text(401, '')],
    ['403 of a firewall', text(403, '<html>Blocked</html>')],
    ['200 without JSON', text(200, '<html>Welcome</html>')],
    ['200 with broken JSON', text(200, '{"user_id":"@alice:hs1"')],
    [
      '200 with JSON that is not UTF-8',
      text(200, Buffer.from('{"user_id":"@\xff:hs1"}', 'latin1')),
    ],
    ['200 without a body', text(200, '')],
    ['200 without a user', json(200, {})],
    ['200 with a user that is no text', json(200, { user_id: 7 })],
    ['200 with a user that is no user id', json(200, { user_id: 'alice' })],
    ['200 with an empty user', json(200, { user_id: '' })],
    ['200 with the user in a list', json(200, [ALICE])],
    ['201', json(201, ALICE)],
    ['204', (response) => response.writeHead(204).end()],
    [
      'an answer that breaks off',
      (response) => {
        response
          .writeHead(200, { 'Content-Length': '1000' })
          .write('{"user_id"', () => response.destroy());
      },
    ],
    ['no answer, but a closed connection', (response) => response.destroy()],
    ['more than anybody would say', json(200, { ...ALICE, more: 'x'.repeat(70_000) })],
    [
      'a refusal that is more than anybody would say',
      json(401, { ...tokenError, more: 'x'.repeat(70_000) }),
    ],
  ];

  it('is a 400 to a client that does not act as another user', async () => {
    homeserver.answer = json(400, { errcode: 'M_UNKNOWN', error: 'What?' });
    expect(await failure(verify())).not.toBeInstanceOf(MatrixError);
  });

  it.each(cases)('is %s', async (_, answer) => {
    homeserver.answer = answer;
    for (const query of ['', '?user_id=@a:hs1']) {
      const error = await failure(verify(TOKEN, query));
      expect(error).not.toBeInstanceOf(MatrixError);
      expect(error.message).toMatch(/^the homeserver (answered|did not answer)/);
      expect(error.message).not.toContain('hunter2');
    }
  });

  it('is a compressed one that is more than anybody would say', async () => {
    const bomb = gzipSync(JSON.stringify({ ...ALICE, more: ' '.repeat(5_000_000) }));
    expect(bomb.length).toBeLessThan(10_000);
    homeserver.answer = text(200, bomb, { 'Content-Encoding': 'gzip' });
    expect((await failure(verify())).message).toContain('more than 65536 bytes');
  });

  it.each([301, 302, 303, 307, 308])(
    'is a redirect (%i): the token goes nowhere else',
    async (status) => {
      const elsewhere = await startService(json(200, ALICE));
      homeserver.answer = text(status, '', { Location: `${elsewhere.url}/whoami` });
      const error = await failure(verify());
      expect(error).not.toBeInstanceOf(MatrixError);
      expect(error.message).toContain(`answered ${status}`);
      expect(elsewhere.received).toEqual([]);
      await elsewhere.close();
    },
  );

  it('is a silence that lasts', async () => {
    homeserver.answer = () => undefined;
    const error = await failure(verify(TOKEN, '', 50));
    expect(error).not.toBeInstanceOf(MatrixError);
    expect(error.message).toBe('the homeserver did not answer (not within 50 ms)');
  });

  it('is one that begins and does not end', async () => {
    homeserver.answer = (response) => response.writeHead(200).write('{"user_id":');
    const error = await failure(verify(TOKEN, '', 50));
    expect(error.message).toBe('the homeserver did not answer (not within 50 ms)');
  });

  it('is a homeserver that is down, and it heals by itself', async () => {
    const verifier = homeserverTokens({ homeserverUrl: homeserver.url });
    await verifier(TOKEN, clientRequest());
    await homeserver.close();
    const error = await failure(Promise.resolve(verifier(TOKEN, clientRequest())));
    expect(error).not.toBeInstanceOf(MatrixError);
    expect(error.message).toMatch(/ECONNREFUSED|ECONNRESET|UND_ERR_SOCKET/);
    homeserver = await startService(json(200, ALICE), Number(new URL(homeserver.url).port));
    expect(await verifier(TOKEN, clientRequest())).toMatchObject({ userId: '@alice:hs1' });
  });

  it('is a homeserver with an unknown name', async () => {
    const verifier = homeserverTokens({ homeserverUrl: 'http://homeserver.invalid' });
    const error = await failure(Promise.resolve(verifier(TOKEN, clientRequest())));
    expect(error).not.toBeInstanceOf(MatrixError);
    expect(error.message).toMatch(/^the homeserver did not answer \(/);
  });
});

describe('the options', () => {
  it.each([
    ['', /'homeserverUrl' must be an HTTP or HTTPS URL/],
    ['matrix.example.org', /'homeserverUrl' must be an HTTP or HTTPS URL/],
    ['ftp://matrix.example.org', /'homeserverUrl' must be an HTTP or HTTPS URL/],
    ['https://a:hunter2@matrix.example.org', /'homeserverUrl' must not contain a user/],
    ['https://matrix.example.org?a=b', /'homeserverUrl' must not contain .* a query/],
  ])('name a homeserver, not %j', (homeserverUrl, message) => {
    expect(() => homeserverTokens({ homeserverUrl })).toThrow(message);
    expect(() => homeserverTokens({ homeserverUrl })).not.toThrow(/hunter2/);
  });

  it.each([0, -1, 1.5, NaN, Infinity, 2 ** 31])('give it some time, not %d ms', (timeoutMs) => {
    expect(() =>
      homeserverTokens({ homeserverUrl: 'https://matrix.example.org', timeoutMs }),
    ).toThrow("'timeoutMs' must be a whole number from 1 to 2147483647.");
  });
});
