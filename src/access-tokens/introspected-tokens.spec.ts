/**
 * Proves how a token is introspected, and how the answers are read: in the shapes in which the
 * Matrix Authentication Service gives them, and in those in which nobody should.
 */
import {
  type Answer,
  clientRequest,
  type FakeService,
  json,
  type Received,
  startService,
  text,
} from '../../test/homeserver/fake-service.js';
import { introspectedTokens, type IntrospectedTokensOptions } from './introspected-tokens.js';
import { cached } from './cached.js';
import type { ExpiringTokenOwner } from './verdict-cache.js';

const STABLE = 'urn:matrix:client:';
const UNSTABLE = 'urn:matrix:org.matrix.msc2967.client:';

/** Of a client that logged in by OAuth: each scope is there under both names. */
const SESSION = {
  active: true,
  scope: `openid ${STABLE}api:* ${STABLE}device:AAbbCC123 ${UNSTABLE}api:* ${UNSTABLE}device:AAbbCC123`,
  client_id: '01JYCC8X3BFV9XN4Z2QK0T7M5R',
  username: 'alice',
  token_type: 'access_token',
  exp: 4_000_000_000,
  expires_in: 299,
  iat: 1_764_000_000,
  nbf: 1_764_000_000,
  sub: '01JYCC7N2Y8W5V1K3D6H9E4PQS',
  jti: '01JYCC8XJ0B3R5T7V9X1Z2C4E6',
};
/** Of a client that logged in by password, with a device id that is not a scope. */
const COMPATIBILITY = {
  active: true,
  scope: `${STABLE}api:* ${UNSTABLE}api:*`,
  client_id: 'legacy',
  username: 'alice',
  token_type: 'access_token',
  iat: 1_764_000_000,
  nbf: 1_764_000_000,
  sub: '01JYCC7N2Y8W5V1K3D6H9E4PQS',
  device_id: 'my phone',
};
const TOKEN = 'mat_hunter2+/=&_1a2b3c';

let endpoint: FakeService;

beforeEach(async () => {
  endpoint = await startService(json(200, SESSION));
});
afterEach(() => endpoint.close());

const verifier = (options: Partial<IntrospectedTokensOptions> = {}) =>
  introspectedTokens({
    introspectionUrl: `${endpoint.url}/oauth2/introspect`,
    clientId: '0000000000000000000ROOMKEYS',
    clientSecret: 'secret',
    serverName: 'example.org',
    ...options,
  });
const verify = (options?: Partial<IntrospectedTokensOptions>) =>
  verifier(options)(TOKEN, clientRequest());

const failure = async (options?: Partial<IntrospectedTokensOptions>): Promise<Error> => {
  try {
    await verify(options);
  } catch (error) {
    return error as Error;
  }
  throw new Error('The token was accepted.');
};

const credentials = ({ headers }: Received) =>
  Buffer.from(headers.authorization?.replace('Basic ', '') ?? '', 'base64').toString();

describe('introspection', () => {
  it('is called as RFC 7662 requires, with client credentials', async () => {
    await verify();
    const [asked] = endpoint.received;
    expect(asked).toMatchObject({
      method: 'POST',
      url: '/oauth2/introspect',
      headers: {
        accept: 'application/json',
        'content-type': expect.stringMatching(/^application\/x-www-form-urlencoded(;|$)/),
        'x-mas-supports-device-id': '1',
      },
    });
    expect([...new URLSearchParams(asked!.body)]).toEqual([
      ['token', TOKEN],
      ['token_type_hint', 'access_token'],
    ]);
    expect(credentials(asked!)).toBe('0000000000000000000ROOMKEYS:secret');
  });

  it.each(['', '/', '/introspect', '/o/introspect/'])(
    'is asked at the URL as it is written, which ends in %j',
    async (path) => {
      await verify({ introspectionUrl: endpoint.url + path });
      expect(endpoint.received[0]?.url).toBe(path || '/');
    },
  );

  it('is called for any token, even one that no header can contain', async () => {
    endpoint.answer = json(200, { active: false });
    expect(await verifier()('tökén\n€', clientRequest())).toBeNull();
    expect(new URLSearchParams(endpoint.received[0]!.body).get('token')).toBe('tökén\n€');
  });

  const checks =
    (spelling: string): Answer =>
    (response, request) => {
      const answer =
        credentials(request) === spelling
          ? json(200, SESSION)
          : json(401, { error: 'invalid_client' });
      answer(response, request);
    };

  it.each([
    ['percent-encoded, as RFC 6749 wants them', 'a%3Ab:s%2B%2F%3D%25%20'],
    ['as they are, as the Matrix Authentication Service wants them', 'a:b:s+/=% '],
  ])('takes credentials %s', async (_, spelling) => {
    endpoint.answer = checks(spelling);
    const lookUp = verifier({ clientId: 'a:b', clientSecret: 's+/=% ' });
    for (let n = 0; n < 3; n++)
      expect(await lookUp(TOKEN, clientRequest())).toMatchObject({ userId: '@alice:example.org' });
    // the spelling is found once
    expect(endpoint.received.length).toBeLessThanOrEqual(4);
    expect(credentials(endpoint.received.at(-1)!)).toBe(spelling);
  });
});

describe('the owner of a token', () => {
  it.each([
    [
      'of an OAuth session',
      SESSION,
      { userId: '@alice:example.org', deviceId: 'AAbbCC123', isGuest: false, expiresInMs: 299_000 },
    ],
    [
      'of a compatibility session',
      COMPATIBILITY,
      { userId: '@alice:example.org', deviceId: 'my phone', isGuest: false, expiresInMs: Infinity },
    ],
    [
      'with stable scopes only',
      { ...SESSION, scope: `${STABLE}device:A ${STABLE}api:*` },
      { deviceId: 'A', isGuest: false },
    ],
    [
      'with unstable scopes only',
      { ...SESSION, scope: `${UNSTABLE}api:*  ${UNSTABLE}device:A` },
      { deviceId: 'A', isGuest: false },
    ],
    ['without a device', { ...SESSION, scope: `${STABLE}api:*` }, { deviceId: undefined }],
    ['with a device beside the scope', { ...SESSION, device_id: 'B' }, { deviceId: 'B' }],
    [
      'who is a guest',
      { ...SESSION, scope: `${UNSTABLE}api:guest ${UNSTABLE}device:A` },
      { userId: '@alice:example.org', deviceId: 'A', isGuest: true },
    ],
    [
      'who is a guest no longer',
      { ...SESSION, scope: `${UNSTABLE}api:guest ${UNSTABLE}api:*` },
      { isGuest: false },
    ],
  ])('is the one %s', async (_, answer, owner) => {
    endpoint.answer = json(200, answer);
    expect(await verify()).toMatchObject(owner);
  });

  it('is known until the time that is given, if only that is', async () => {
    endpoint.answer = json(200, {
      ...SESSION,
      expires_in: undefined,
      exp: Math.floor(Date.now() / 1000) + 100,
    });
    const { expiresInMs } = (await verify()) as ExpiringTokenOwner;
    expect(expiresInMs).toBeGreaterThan(90_000);
    expect(expiresInMs).toBeLessThanOrEqual(100_000);
  });

  it.each([
    ['now', { expires_in: 0 }],
    ['before now', { expires_in: -1 }],
    ['long ago by our clock', { expires_in: undefined, exp: 1_700_000_000 }],
  ])('is known, and not cached, where an active token ended %s', async (_, end) => {
    endpoint.answer = json(200, { ...SESSION, ...end });
    expect(await verify()).toMatchObject({ userId: '@alice:example.org', expiresInMs: 0 });
    const lookUp = cached(verifier());
    for (let n = 0; n < 2; n++)
      expect(await lookUp(TOKEN, clientRequest())).toMatchObject({ userId: '@alice:example.org' });
    expect(endpoint.received).toHaveLength(3);
  });

  it('is cached no longer than the token lasts', async () => {
    let time = 0;
    const lookUp = cached(verifier(), { now: () => time, ttlMs: 1_000_000 });
    await lookUp(TOKEN, clientRequest());
    time = 298_999;
    await lookUp(TOKEN, clientRequest());
    expect(endpoint.received).toHaveLength(1);
    time = 299_000;
    endpoint.answer = json(200, { active: false });
    expect(await lookUp(TOKEN, clientRequest())).toBeNull();
  });
});

describe('a token is unknown', () => {
  it.each([
    ['that is not active', { active: false }],
    ['that is not active, whatever else is said', { ...SESSION, active: false }],
    ['that is not for Matrix', { ...SESSION, scope: 'openid email' }],
    ['without a scope', { ...SESSION, scope: undefined }],
    ['whose scope is no text', { ...SESSION, scope: [`${STABLE}api:*`] }],
    ['that is for less than the whole API', { ...SESSION, scope: `${STABLE}api:read` }],
    ['that is for another API', { ...SESSION, scope: 'urn:mas:admin urn:synapse:admin:*' }],
    ['whose scope only looks alike', { ...SESSION, scope: `${STABLE}api:*x x${STABLE}api:*` }],
  ])('%s', async (_, answer) => {
    endpoint.answer = json(200, answer);
    expect(await verify()).toBeNull();
  });
});

describe('no answer about a token', () => {
  const cases: [string, Answer][] = [
    ['that the client is unknown', json(401, { error: 'invalid_client' })],
    ['that the client may not ask', json(403, { error: 'access_denied' })],
    ['a Matrix error', json(401, { errcode: 'M_UNKNOWN_TOKEN', error: 'hunter2' })],
    ['400', json(400, { error: 'invalid_request' })],
    ['404', text(404, 'Not Found')],
    ['429', json(429, { error: 'slow_down' })],
    ['500', json(500, { error: 'server_error' })],
    ['500 that says it is not active', json(500, { active: false })],
    ['502 of a proxy', text(502, '<html>Bad Gateway</html>')],
    ['200 without JSON', text(200, '<html>Sign in</html>')],
    ['200 with a list', json(200, [{ active: true }])],
    ['200 that does not say whether it is active', json(200, { ...SESSION, active: undefined })],
    ['200 that says so in words', json(200, { ...SESSION, active: 'true' })],
    ['200 without a user', json(200, { ...SESSION, username: undefined })],
    ['200 with an empty user', json(200, { ...SESSION, username: '' })],
    [
      '200 with two devices',
      json(200, { ...SESSION, scope: `${STABLE}api:* ${STABLE}device:A ${UNSTABLE}device:B` }),
    ],
    ['more than anybody would say', json(200, { ...SESSION, more: 'x'.repeat(70_000) })],
    ['a closed connection', (response) => response.destroy()],
  ];

  it.each(cases)('is %s', async (_, answer) => {
    endpoint.answer = answer;
    const error = await failure();
    expect(error).not.toHaveProperty('status');
    expect(error.message).toMatch(/^the introspection endpoint /);
    expect(error.message).not.toMatch(/hunter2|secret/);
  });

  it('is a redirect: token and secret go nowhere else', async () => {
    const elsewhere = await startService(json(200, SESSION));
    endpoint.answer = text(307, '', { Location: elsewhere.url });
    expect((await failure()).message).toContain('answered 307');
    expect(elsewhere.received).toEqual([]);
    await elsewhere.close();
  });

  it('is a silence that lasts', async () => {
    endpoint.answer = () => undefined;
    expect((await failure({ timeoutMs: 50 })).message).toBe(
      'the introspection endpoint did not answer (not within 50 ms)',
    );
  });

  it('is one of a server that is down', async () => {
    await endpoint.close();
    expect((await failure()).message).toBe(
      'the introspection endpoint did not answer (ECONNREFUSED)',
    );
    endpoint = await startService(json(200, SESSION));
  });
});

describe('the options', () => {
  it.each([
    { introspectionUrl: 'auth.example.org' },
    { introspectionUrl: 'https://a:secret@b/c' },
    { clientId: '' },
    { clientSecret: '' },
    { serverName: '' },
    { timeoutMs: 0 },
  ])('cannot be %j', (options) => {
    const [name] = Object.keys(options);
    expect(() => verifier(options)).toThrow(new RegExp(`^'${name!}' must `));
    expect(() => verifier(options)).not.toThrow(/secret@/);
  });
});
