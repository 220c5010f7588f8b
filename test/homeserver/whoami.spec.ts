/**
 * Proves the whoami verifier against a real homeserver, a Synapse, where the environment names one:
 * who logs in there is known here, who logs out or is locked is so no longer than it is cached,
 * and while the homeserver is unavailable clients must try again.
 */
import { type AccessTokenVerifier } from '../../src/index.js';
import { homeserverTokens, cached } from '../../src/access-tokens/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, MatrixClient, roomsBody } from '../support/matrix-client.js';
import { query } from '../support/sql.js';
import { burst } from './burst.js';
import {
  call,
  type Relay,
  register,
  startRelay,
  testHomeserver,
  type TestUser,
} from './synapse.js';

const homeserver = testHomeserver();

(homeserver ? describe : describe.skip)('behind a real homeserver', () => {
  const real = homeserver!;
  let database: TestDatabase;
  let application: TestApplication;
  let relay: Relay;
  let user: TestUser;
  let time: number;
  let whoamiCalls: number;
  let verifier: AccessTokenVerifier;

  beforeAll(async () => {
    database = await databases[0]!.create();
    relay = await startRelay(real);
    application = await startApplication(database, {
      verifyAccessToken: (token, request) => verifier(token, request),
    });
  });
  afterAll(async () => {
    await application.close();
    await relay.block();
    await database.drop();
  });
  beforeEach(async () => {
    time = 0;
    whoamiCalls = 0;
    const verify = homeserverTokens({ homeserverUrl: relay.url });
    const counted: AccessTokenVerifier = (token, request) => {
      whoamiCalls++;
      return verify(token, request);
    };
    verifier = cached(counted, { now: () => time });
    user = await register(real);
  });

  const client = (token = user.access_token) => new MatrixClient(application.url, token);
  const whoami = (token: string) => call(real, token, 'GET', '/_matrix/client/v3/account/whoami');

  it('a user backs up and restores with the token of the homeserver', async () => {
    const version = await client().createBackup();
    const body = roomsBody([['!room:hs1', 'session', keyData()]]);
    expect(await client().put(`/keys?version=${version}`, body)).toMatchObject({ status: 200 });
    expect(await client().get(`/keys?version=${version}`)).toMatchObject({ status: 200, body });
    expect(whoamiCalls).toBe(1);
    const [row] = await query<{ user_id: Buffer }>(
      application.dataSource,
      'SELECT user_id FROM room_keys_backups WHERE user_id = ?',
      [Buffer.from(user.user_id)],
    );
    expect(row?.user_id.toString()).toBe(user.user_id);
  });

  it('receives the device', async () => {
    const request = { url: '/' } as Parameters<AccessTokenVerifier>[1];
    expect(await verifier(user.access_token, request)).toEqual({
      userId: user.user_id,
      deviceId: user.device_id,
      isGuest: false,
    });
  });

  it('a user who is not an application service cannot act as another', async () => {
    const other = await register(real);
    const as = `?user_id=${encodeURIComponent(other.user_id)}&device_id=${other.device_id}`;
    await client(other.access_token).createBackup();
    expect(await client().get(`/version${as}`)).toMatchObject({ status: 404 });
  });

  it('a token that it does not know is refused in its words', async () => {
    const own = await whoami('nonsense');
    const answer = await client('nonsense').get('/version');
    expect(answer).toMatchObject({ status: 401, body: { errcode: 'M_UNKNOWN_TOKEN' } });
    expect([answer.status, answer.text]).toEqual([own.status, own.text]);
  });

  it('logging out there ends the token here, within the time that it is cached', async () => {
    await client().createBackup();
    const { access_token: token } = user;
    expect(await call(real, token, 'POST', '/_matrix/client/v3/logout', {})).toMatchObject({
      status: 200,
    });
    time = 29_999;
    expect((await client().get('/version')).status).toBe(200);
    time = 30_000;
    expect(await client().get('/version')).toMatchObject({
      status: 401,
      body: { errcode: 'M_UNKNOWN_TOKEN' },
    });
  });

  it('a user locked there gets that error here, and is accepted when unlocked', async () => {
    await client().createBackup();
    const admin = await register(real, 'admin');
    const lock = (locked: boolean) =>
      call(
        real,
        admin.access_token,
        'PUT',
        `/_synapse/admin/v2/users/${encodeURIComponent(user.user_id)}`,
        { locked },
      );
    expect(await lock(true)).toMatchObject({ status: 200 });
    time = 30_000;
    const own = await whoami(user.access_token);
    const answer = await client().get('/version');
    expect(answer).toMatchObject({
      status: 401,
      body: { errcode: 'M_USER_LOCKED', soft_logout: true },
    });
    expect([answer.status, answer.text]).toEqual([own.status, own.text]);
    await lock(false);
    time = 31_000;
    expect((await client().get('/version')).status).toBe(200);
  });

  it('while it is away clients are to try again, and it heals by itself', async () => {
    await client().createBackup();
    const other = await register(real);
    await relay.block();
    expect((await client().get('/version')).status).toBe(200);
    const answer = await client(other.access_token).get('/version');
    expect(answer).toMatchObject({ status: 503, body: { errcode: 'M_UNKNOWN' } });
    expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
    time = 30_000;
    expect((await client().get('/version')).status).toBe(503);
    await relay.open();
    expect((await client().get('/version')).status).toBe(200);
    expect((await client(other.access_token).get('/version')).status).toBe(404);
  });

  it('1,000 requests at once ask it once', async () => {
    await client().createBackup();
    time = 30_000;
    expect(await burst(application.url, user.access_token, 1000)).toEqual(new Set(['200']));
    expect(whoamiCalls).toBe(2);
  });

  it('10,000 requests within 100 seconds ask it four times', async () => {
    await client().createBackup();
    whoamiCalls = 0;
    const work = async () => {
      for (let n = 0; n < 500; n++) {
        time += 10;
        expect((await client().get('/version')).status).toBe(200);
      }
    };
    await Promise.all(Array.from({ length: 20 }, work));
    expect(whoamiCalls).toBeLessThanOrEqual(4);
  });
});
