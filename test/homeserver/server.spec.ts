/** Proves that the standalone server checks tokens as its settings say, and says so when it starts. */
import { createApplication, listen } from '../../server/src/application.js';
import { readEnvironment } from '../../server/src/environment.js';
import { banner } from '../../server/src/startup-banner.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { MatrixClient } from '../support/matrix-client.js';
import { type FakeService, json, startService, text } from './fake-service.js';

let database: TestDatabase;
let service: FakeService;

beforeAll(async () => {
  database = await databases[0]!.create();
});
afterAll(() => database.drop());
beforeEach(async () => {
  service = await startService(json(200, { user_id: '@alice:hs1', device_id: 'PHONE' }));
});
afterEach(() => service.close());

/** Starts a server, and ends it after the work. */
async function withServer(
  variables: Record<string, string>,
  work: (call: (token: string) => Promise<number>, said: string) => Promise<void>,
) {
  const environment = readEnvironment({
    DATABASE_URL: database.url,
    PORT: '0',
    LOG_LEVEL: 'warn',
    ...variables,
  });
  const app = await createApplication(environment);
  // it warns of every 503
  app.useLogger(false);
  try {
    const addresses = await listen(app, environment);
    const local = addresses.url.replace('0.0.0.0', '127.0.0.1');
    const call = async (token: string) =>
      (await new MatrixClient(local, token).get('/version')).status;
    await work(call, banner(environment, addresses));
  } finally {
    await app.close();
  }
}

describe('the standalone server', () => {
  it('calls the homeserver, and caches its answer', async () => {
    const variables = { HOMESERVER_URL: service.url, HOST: '0.0.0.0' };
    await withServer(variables, async (call, said) => {
      expect(said).toContain(`Access tokens   checked by whoami at ${service.url}/\n`);
      expect(said).not.toContain('curl');
      for (let n = 0; n < 5; n++) expect(await call('a')).toBe(404);
      expect(service.received).toHaveLength(1);
      expect(service.received[0]?.url).toBe('/_matrix/client/v3/account/whoami');
      service.answer = json(401, { errcode: 'M_UNKNOWN_TOKEN', error: '' });
      expect(await call('a')).toBe(404);
      expect(await call('b')).toBe(401);
      service.answer = text(502, '');
      expect(await call('c')).toBe(503);
    });
  });

  it('remembers nothing where TOKEN_CACHE_TTL_MS is 0', async () => {
    const variables = { HOMESERVER_URL: service.url, TOKEN_CACHE_TTL_MS: '0' };
    await withServer(variables, async (call) => {
      for (let n = 0; n < 3; n++) expect(await call('a')).toBe(404);
      expect(service.received).toHaveLength(3);
    });
  });

  it('waits for the homeserver as long as TOKEN_CHECK_TIMEOUT_MS', async () => {
    const variables = { HOMESERVER_URL: service.url, TOKEN_CHECK_TIMEOUT_MS: '50' };
    service.answer = () => undefined;
    await withServer(variables, async (call) => {
      expect(await call('a')).toBe(503);
    });
  });

  it('remembers TOKEN_CACHE_MAX tokens', async () => {
    const variables = { HOMESERVER_URL: service.url, TOKEN_CACHE_MAX: '1' };
    await withServer(variables, async (call) => {
      for (const token of ['a', 'b', 'b', 'a']) expect(await call(token)).toBe(404);
      expect(service.received).toHaveLength(3);
    });
  });

  it('accepts DEV_TOKENS beside a homeserver, without asking it', async () => {
    const variables = { HOMESERVER_URL: service.url, DEV_TOKENS: 'hunter2=@dev:hs1' };
    await withServer(variables, async (call, said) => {
      expect(said).toContain('Access tokens   those in DEV_TOKENS, others checked by whoami at ');
      expect(said).not.toContain('hunter2');
      expect(await call('hunter2')).toBe(404);
      expect(service.received).toEqual([]);
      expect(await call('other')).toBe(404);
      expect(service.received).toHaveLength(1);
    });
  });

  it('calls the introspection endpoint, and caches its answer', async () => {
    service.answer = json(200, {
      active: true,
      scope: 'urn:matrix:client:api:*',
      username: 'alice',
    });
    const variables = {
      INTROSPECTION_URL: `${service.url}/oauth2/introspect`,
      INTROSPECTION_CLIENT_ID: 'ROOMKEYS',
      INTROSPECTION_CLIENT_SECRET: 'hunter2',
      SERVER_NAME: 'hs1',
    };
    await withServer(variables, async (call, said) => {
      expect(said).toContain(
        `Access tokens   checked by introspection at ${service.url}/oauth2/introspect\n`,
      );
      expect(said).not.toContain('hunter2');
      for (let n = 0; n < 5; n++) expect(await call('a')).toBe(404);
      expect(service.received).toHaveLength(1);
      service.answer = json(200, { active: false });
      expect(await call('b')).toBe(401);
    });
  });

  it('accepts its generated token without token verification', async () => {
    await withServer({}, async (call, said) => {
      const [, token = ''] = /^Access token {4}(\S+) /m.exec(said) ?? [];
      expect(await call(token)).toBe(404);
      expect(await call('other')).toBe(401);
    });
  });

  it('accepts those in DEV_TOKENS without token verification', async () => {
    await withServer({ DEV_TOKENS: 'hunter2=@dev:hs1' }, async (call, said) => {
      expect(said).toContain('Access tokens   those in DEV_TOKENS\n');
      expect(await call('hunter2')).toBe(404);
      expect(await call('other')).toBe(401);
    });
  });
});
