/**
 * Proves that the example homeserver works as its README says: its users log in, back their keys up
 * and restore them, each with their own token; its own routes keep their form; and who leaves takes
 * their backups along.
 */
import type { AddressInfo } from 'node:net';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { createApplication } from '../../examples/homeserver/src/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keepIdleConnections } from '../support/idle-connections.js';
import { type Answer, keyData, MatrixClient, roomsBody } from '../support/matrix-client.js';

const PASSWORD = 'down the rabbit hole';

describe.each(databases)('the example homeserver on $name', ({ name, create }) => {
  let database: TestDatabase;
  let app: NestExpressApplication;
  let url: string;
  let users = 0;

  beforeAll(async () => {
    database = await create();
    app = await createApplication({
      databaseUrl: name === 'MariaDB' ? database.url.replace('mysql:', 'mariadb:') : database.url,
      serverName: 'hs1',
      adminToken: 'admin',
      port: 0,
    });
    keepIdleConnections(app);
    await app.listen(0, '127.0.0.1');
    url = `http://127.0.0.1:${(app.getHttpServer().address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  const client = (token?: string) => new MatrixClient(url, token, '/_matrix/client');
  const keys = (token: string) => new MatrixClient(url, token);
  const admin = (token = 'admin') => new MatrixClient(url, token, '/admin');

  /** A new user, who has no device yet. */
  async function register(): Promise<string> {
    const username = `alice${users++}`;
    const answer = await client().post('/v3/register', {
      username,
      password: PASSWORD,
      inhibit_login: true,
      auth: { type: 'm.login.dummy' },
    });
    expect(answer.body).toEqual({ user_id: `@${username}:hs1` });
    return `@${username}:hs1`;
  }

  const logIn = (user: string, device_id?: string): Promise<Answer> =>
    client().post('/v3/login', {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user },
      password: PASSWORD,
      initial_device_display_name: 'A phone',
      // what newer clients send, whatever it is
      refresh_token: true,
      ...(device_id === undefined ? {} : { device_id }),
    });

  const tokenOf = async (user: string, device?: string) =>
    ((await logIn(user, device)).body as { access_token: string }).access_token;

  it('says what it serves', async () => {
    expect((await client().get('/versions')).body).toMatchObject({
      versions: expect.arrayContaining(['v1.1']) as string[],
    });
    expect((await client().get('/v3/login')).body).toEqual({
      flows: [{ type: 'm.login.password' }],
    });
  });

  it('registers a user, the first time of asking for a way to authenticate', async () => {
    const asked = await client().post('/v3/register', { username: 'bob', password: PASSWORD });
    expect(asked).toMatchObject({ status: 401, body: { flows: [{ stages: ['m.login.dummy'] }] } });
    const auth = { type: 'm.login.dummy', session: (asked.body as { session: string }).session };
    const bob = { username: 'bob', password: PASSWORD, auth };
    expect((await client().post('/v3/register', bob)).body).toEqual({
      user_id: '@bob:hs1',
      access_token: expect.any(String) as string,
      device_id: expect.any(String) as string,
    });
    expect(await client().post('/v3/register', bob)).toMatchObject({
      status: 400,
      body: { errcode: 'M_USER_IN_USE' },
    });
    expect(await client().post('/v3/register', { ...bob, username: 'Bob' })).toMatchObject({
      status: 400,
      body: { errcode: 'M_INVALID_USERNAME' },
    });
  });

  it('logs a device in and out', async () => {
    const user = await register();
    const { access_token: token } = (await logIn(user, 'PHONE')).body as { access_token: string };
    expect((await client(token).get('/v3/account/whoami')).body).toEqual({
      user_id: user,
      device_id: 'PHONE',
      is_guest: false,
    });
    expect((await keys(token).get('/version')).body.errcode).toBe('M_NOT_FOUND');

    expect((await client(token).post('/v3/logout', {})).body).toEqual({});

    expect((await client(token).get('/v3/account/whoami')).body.errcode).toBe('M_UNKNOWN_TOKEN');
    expect((await keys(token).get('/version')).body.errcode).toBe('M_UNKNOWN_TOKEN');
  });

  it('gives a device one token at a time', async () => {
    const user = await register();
    const [first, other, second] = [
      await tokenOf(user, 'PHONE'),
      await tokenOf(user, 'phone'),
      await tokenOf(user, 'PHONE'),
    ];
    const statuses = [first, other, second].map((token) => client(token).get('/v3/account/whoami'));
    expect((await Promise.all(statuses)).map(({ status }) => status)).toEqual([401, 200, 200]);
  });

  it.each<[string, object, number, string]>([
    ['a wrong password', { password: 'wrong' }, 403, 'M_FORBIDDEN'],
    ['an unknown user', { identifier: { type: 'm.id.user', user: 'no' } }, 403, 'M_FORBIDDEN'],
    ['no password', { password: undefined }, 400, 'M_BAD_JSON'],
    ['a password that is a number', { password: 5 }, 400, 'M_BAD_JSON'],
    ['an identifier that is none', { identifier: { user: 'alice' } }, 400, 'M_BAD_JSON'],
    ['another way', { type: 'm.login.token' }, 400, 'M_UNKNOWN'],
  ])('does not log in with %s', async (_, fields, status, errcode) => {
    const answer = await client().post('/v3/login', {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user: await register() },
      password: PASSWORD,
      ...fields,
    });
    expect(answer).toMatchObject({ status, body: { errcode } });
  });

  it('keeps the keys of a user, from all devices and for all devices', async () => {
    const user = await register();
    const phone = keys(await tokenOf(user, 'PHONE'));
    await phone.createBackup();
    const uploaded = roomsBody(
      Array.from({ length: 100 }, (_, n) => [
        `!room${n % 3}:hs1`,
        `session/${n}`,
        keyData({ session_data: { ciphertext: 'c'.repeat(1500) } }),
      ]),
    );
    expect(JSON.stringify(uploaded).length).toBeGreaterThan(150_000);
    expect((await phone.put('/keys?version=1', uploaded)).body).toMatchObject({ count: 100 });

    const laptop = keys(await tokenOf(user, 'LAPTOP'));
    expect((await laptop.get('/keys?version=1')).body).toEqual(uploaded);
    const stranger = keys(await tokenOf(await register()));
    expect((await stranger.get('/keys?version=1')).status).toBe(404);
    expect((await admin().get(`/users/${user}`)).body).toEqual({
      data: {
        userId: user,
        isGuest: false,
        isDeactivated: false,
        keys: expect.objectContaining({ count: 100 }) as object,
      },
    });
  });

  it('keeps no keys of guests', async () => {
    const { body } = await client().post('/v3/register?kind=guest', {});
    const { access_token: token } = body as { access_token: string };
    expect((await client(token).get('/v3/account/whoami')).body).toMatchObject({ is_guest: true });
    expect(await keys(token).get('/version')).toMatchObject({
      status: 403,
      body: { errcode: 'M_GUEST_ACCESS_FORBIDDEN' },
    });
  });

  it('forgets who deactivates their account, with all backups', async () => {
    const user = await register();
    const token = await tokenOf(user);
    await keys(token).createBackup();
    await keys(token).put('/keys?version=1', roomsBody([['!r', 's', keyData()]]));
    const deactivate = (auth?: object) => client(token).post('/v3/account/deactivate', { auth });

    expect((await deactivate()).body.flows).toEqual([{ stages: ['m.login.password'] }]);
    expect(await deactivate({ type: 'm.login.password', password: 'wrong' })).toMatchObject({
      status: 401,
      body: { errcode: 'M_FORBIDDEN' },
    });
    expect((await keys(token).get('/version')).status).toBe(200);
    expect((await deactivate({ type: 'm.login.password', password: PASSWORD })).status).toBe(200);

    expect((await keys(token).get('/version')).body.errcode).toBe('M_UNKNOWN_TOKEN');
    expect((await logIn(user)).status).toBe(403);
    expect((await admin().get(`/users/${user}`)).body.data).toMatchObject({
      isDeactivated: true,
      keys: { count: 0, backups: [] },
    });
  });

  describe('its own routes', () => {
    it('are below its prefix, in its own envelope, for its admin', async () => {
      const created = await admin().post('/users', { localpart: 'carol', password: PASSWORD });
      expect(created).toMatchObject({ status: 201, body: { data: { userId: '@carol:hs1' } } });
      expect((await admin().get('/users')).body.data).toContainEqual({
        userId: '@carol:hs1',
        isGuest: false,
        isDeactivated: false,
      });
      expect((await admin().delete('/users/@carol:hs1')).status).toBe(204);
      expect((await logIn('carol')).status).toBe(403);
    });

    it.each<[string, () => Promise<Answer>, number]>([
      ['another token', () => admin('guess').get('/users'), 401],
      ['an unknown user', () => admin().get('/users/@nobody:hs1'), 404],
      ['an unknown path', () => admin().get('/rooms'), 404],
      [
        'members that it does not know',
        () => admin().post('/users', { localpart: 'dave', password: PASSWORD, admin: true }),
        400,
      ],
      ['what is no JSON', () => admin().send('POST', '/users', '{'), 400],
      ['150 kB', () => admin().post('/users', { localpart: 'x'.repeat(150_000) }), 413],
    ])('refuse %s in its own form', async (_, send, status) => {
      const answer = await send();
      expect(answer.headers.get('content-type')).toMatch('application/problem+json');
      expect(JSON.parse(answer.text)).toMatchObject({ status, type: 'about:blank' });
    });

    it('answer paths of Matrix that there are not in the form of Matrix', async () => {
      expect(await client().get('/v3/sync')).toMatchObject({
        status: 404,
        body: { errcode: 'M_UNRECOGNIZED' },
      });
      expect((await client().send('POST', '/v3/login', '{')).body.errcode).toBe('M_NOT_JSON');
    });
  });

  it('lets browsers at any origin use what is Matrix', async () => {
    for (const path of ['/v3/login', '/v3/room_keys/version']) {
      const response = await fetch(`${url}/_matrix/client${path}`, {
        method: 'OPTIONS',
        headers: { origin: 'https://app.example', 'access-control-request-method': 'POST' },
      });
      expect(response.status).toBe(204);
      expect(response.headers.get('access-control-allow-origin')).toBe('*');
    }
    const { headers } = await client().get('/versions');
    expect(headers.get('access-control-allow-origin')).toBe('*');
    expect(headers.get('x-frame-options')).toBe('SAMEORIGIN');
  });

  it('documents its own operations and those of the key backup', async () => {
    const response = await fetch(`${url}/docs-json`);
    const document = (await response.json()) as {
      paths: Record<string, Record<string, { security?: object[] }>>;
      components: { securitySchemes: object };
    };
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { security }]) => ({
        at: `${method} ${path}`,
        security,
      })),
    );
    const ours = operations.filter(({ at }) => at.includes('/room_keys/'));
    expect(ours).toHaveLength(14);
    expect(operations.map(({ at }) => at)).toEqual(
      expect.arrayContaining([
        'get /_matrix/client/versions',
        'post /_matrix/client/v3/login',
        'get /_matrix/client/v3/account/whoami',
        'put /_matrix/client/v3/room_keys/keys/{roomId}/{sessionId}',
        'get /admin/users/{userId}',
      ]),
    );
    const named = ours.flatMap(({ security = [] }) => security.flatMap(Object.keys));
    expect(Object.keys(document.components.securitySchemes)).toEqual(
      expect.arrayContaining([...new Set(named)]),
    );
    expect((await fetch(`${url}/docs`)).status).toBe(200);
  });
});
