/**
 * Proves which responses clients of the module get if a homeserver or an authorization server checks
 * their tokens: its refusals as they are, 503 whenever it does not answer, and how seldom it is asked.
 */
import { type AccessTokenVerifier } from '../../src/index.js';
import {
  applicationServiceTokens,
  developmentTokens,
  firstOf,
  homeserverTokens,
  introspectedTokens,
  cached,
} from '../../src/access-tokens/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { MatrixClient } from '../support/matrix-client.js';
import { burst } from './burst.js';
import { type Answer, type FakeService, json, startService, text } from './fake-service.js';

const alice = json(200, { user_id: '@alice:hs1', device_id: 'PHONE', is_guest: false });

/** Enough for an answer on a busy machine; a silence lasts for as long. */
const TIMEOUT_MS = 2000;

let database: TestDatabase;
let application: TestApplication;
let service: FakeService;
let time: number;
let verifier: AccessTokenVerifier;

beforeAll(async () => {
  database = await databases[0]!.create();
  application = await startApplication(database, {
    verifyAccessToken: (token, request) => verifier(token, request),
  });
});
afterAll(async () => {
  await application.close();
  await database.drop();
});
beforeEach(async () => {
  time = 0;
  service = await startService(alice);
  verifier = cached(homeserverTokens({ homeserverUrl: service.url, timeoutMs: TIMEOUT_MS }), {
    now: () => time,
  });
});
afterEach(() => service.close());

const client = (token = 'token') => new MatrixClient(application.url, token);
const call = (token?: string, query = '') => client(token).get(`/version${query}`);

describe('behind a homeserver', () => {
  it.each([
    [
      401,
      { errcode: 'M_UNKNOWN_TOKEN', error: 'Invalid access token passed.', soft_logout: false },
    ],
    [401, { errcode: 'M_UNKNOWN_TOKEN', error: 'Access token has expired', soft_logout: true }],
    [401, { errcode: 'M_USER_LOCKED', error: 'This account has been locked', soft_logout: true }],
    [403, { errcode: 'M_USER_SUSPENDED', error: 'This account is suspended' }],
    [403, { errcode: 'M_FORBIDDEN', error: 'Application service cannot masquerade' }],
  ])('a client is told what the homeserver says of its token: %i %j', async (status, body) => {
    service.answer = json(status, body);
    const answer = await call();
    expect(answer).toMatchObject({ status, body });
    expect(answer.text).toBe(JSON.stringify(body));
    expect(answer.headers.get('access-control-allow-origin')).toBe('*');
  });

  it('a guest gets the error that guests have no backup', async () => {
    service.answer = json(200, { user_id: '@1:hs1', is_guest: true });
    expect(await call()).toMatchObject({
      status: 403,
      body: { errcode: 'M_GUEST_ACCESS_FORBIDDEN' },
    });
  });

  it('a token that no homeserver could have given is unknown', async () => {
    const answer = await new MatrixClient(application.url, undefined).get(
      '/version?access_token=t%E2%82%AC%0A',
    );
    expect(answer).toMatchObject({ status: 401, body: { errcode: 'M_UNKNOWN_TOKEN' } });
    expect(service.received).toEqual([]);
  });

  const failures: [string, Answer | 'down'][] = [
    ['is down', 'down'],
    ['is silent', () => undefined],
    ['closes the connection', (response) => response.destroy()],
    ['answers 500', json(500, { errcode: 'M_UNKNOWN', error: 'Internal server error' })],
    ['answers 502', text(502, '<html>Bad Gateway</html>')],
    ['answers 429', json(429, { errcode: 'M_LIMIT_EXCEEDED', error: 'Too many' })],
    ['answers 404', json(404, { errcode: 'M_UNRECOGNIZED', error: 'Unrecognized' })],
    ['is hidden behind a redirect', text(302, '', { Location: '/login' })],
    ['is hidden behind a password', text(401, 'Authorization Required')],
    ['answers no JSON', text(200, 'Hello')],
    ['answers without a user', json(200, {})],
  ];
  it.each(failures)('a client is to try again while the homeserver %s', async (_, failure) => {
    if (failure === 'down') await service.close();
    else service.answer = failure;
    const { port } = new URL(service.url);
    const answer = await call();
    expect(answer.status).toBe(503);
    expect(answer.body).toEqual({
      errcode: 'M_UNKNOWN',
      error: 'The access token cannot be checked at the moment.',
    });
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(answer.headers.get('access-control-allow-origin')).toBe('*');
    if (failure === 'down') service = await startService(alice, Number(port));
    else service.answer = alice;
    // healed, without a restart: the user has no backup yet
    expect(await call()).toMatchObject({ status: 404, body: { errcode: 'M_NOT_FOUND' } });
  });

  it('a token that is cached works while the homeserver is down, for its time', async () => {
    expect((await call()).status).toBe(404);
    service.answer = text(502, '');
    time = 29_999;
    expect((await call()).status).toBe(404);
    expect((await call('another')).status).toBe(503);
    time = 30_000;
    expect((await call()).status).toBe(503);
  });

  it('a token that has ended is of no use after 30 seconds', async () => {
    expect((await call()).status).toBe(404);
    service.answer = json(401, { errcode: 'M_UNKNOWN_TOKEN', error: 'Logged out' });
    time = 29_999;
    expect((await call()).status).toBe(404);
    time = 30_000;
    expect(await call()).toMatchObject({ status: 401, body: { errcode: 'M_UNKNOWN_TOKEN' } });
  });

  it('1,000 requests with one token at once ask it once', async () => {
    let release = (): unknown => undefined;
    service.answer = (response, request) => {
      release = () => alice(response, request);
    };
    const once = cached(homeserverTokens({ homeserverUrl: service.url }));
    let arrived = 0;
    verifier = (token, request) => {
      // the homeserver answers when all of them wait
      if (++arrived === 1000) release();
      return once(token, request);
    };
    expect(await burst(application.url, 'token', 1000)).toEqual(new Set(['404']));
    expect(service.received).toHaveLength(1);
  });

  it('an application service acts as its users, each with a backup of its own', async () => {
    service.answer = (response, request) => {
      const query = new URL(request.url, service.url).searchParams;
      const user = query.get('user_id') ?? '@irc:hs1';
      const answer = user.startsWith('@_irc_')
        ? json(200, { user_id: user, device_id: query.get('device_id') ?? undefined })
        : json(403, { errcode: 'M_FORBIDDEN', error: 'Not yours' });
      answer(response, request);
    };
    const body = { algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2', auth_data: { n: 1 } };
    const bridge = client('as_token');
    const as = (user: string) => `?user_id=${encodeURIComponent(user)}`;
    expect(await bridge.post(`/version${as('@_irc_a:hs1')}`, body)).toMatchObject({ status: 200 });
    expect(await bridge.get(`/version${as('@_irc_a:hs1')}`)).toMatchObject({ status: 200 });
    expect(await bridge.get(`/version${as('@_irc_b:hs1')}`)).toMatchObject({ status: 404 });
    expect(await bridge.get(`/version${as('@alice:hs1')}`)).toMatchObject({
      status: 403,
      body: { errcode: 'M_FORBIDDEN', error: 'Not yours' },
    });
  });
});

describe('behind an authorization server', () => {
  beforeEach(() => {
    verifier = firstOf([
      applicationServiceTokens([
        { token: 'as_token', userId: '@irc:hs1', users: ['@_irc_.*:hs1'] },
      ]),
      developmentTokens([{ token: 'development', userId: '@dev:hs1' }]),
      cached(
        introspectedTokens({
          introspectionUrl: service.url,
          clientId: 'ROOMKEYS',
          clientSecret: 'secret',
          serverName: 'hs1',
          timeoutMs: TIMEOUT_MS,
        }),
        { now: () => time },
      ),
    ]);
    service.answer = json(200, {
      active: true,
      scope: 'openid urn:matrix:client:api:* urn:matrix:client:device:PHONE',
      username: 'alice',
      expires_in: 299,
    });
  });

  it('a client is accepted, and the server is called once', async () => {
    for (let n = 0; n < 10; n++) expect((await call()).status).toBe(404);
    expect(service.received).toHaveLength(1);
  });

  it.each([[{ active: false }], [{ active: true, scope: 'openid', username: 'alice' }]])(
    'a client is told that its token is unknown: %j',
    async (answer) => {
      service.answer = json(200, answer);
      expect(await call()).toMatchObject({ status: 401, body: { errcode: 'M_UNKNOWN_TOKEN' } });
    },
  );

  it.each([
    ['refuses us', json(401, { error: 'invalid_client' })],
    ['fails', text(500, '')],
    ['is silent', () => undefined],
  ])('a client is to try again while the server %s', async (_, answer: Answer) => {
    service.answer = answer;
    expect(await call()).toMatchObject({ status: 503, body: { errcode: 'M_UNKNOWN' } });
  });

  it('tokens that need no server are known without it', async () => {
    await service.close();
    expect((await call('development')).status).toBe(404);
    expect((await call('as_token', '?user_id=@_irc_x:hs1')).status).toBe(404);
    expect(await call('as_token', '?user_id=@alice:hs1')).toMatchObject({
      status: 403,
      body: { errcode: 'M_FORBIDDEN' },
    });
    expect((await call('other')).status).toBe(503);
    service = await startService(alice);
  });
});
