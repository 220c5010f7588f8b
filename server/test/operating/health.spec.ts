/**
 * Proves what the server says of its health while the database and the homeserver go away and come
 * back: that it is ready as long as its database is, degraded without its homeserver, that nobody is
 * asked more often than need be, and that the answers give nothing away.
 */
import type { NestExpressApplication } from '@nestjs/platform-express';
import { DataSource } from 'typeorm';
import { createApplication, listen } from '../../src/application.js';
import { readEnvironment } from '../../src/environment.js';
import { Dependencies } from '../../src/health/dependencies.js';
import { type FakeService, json, startService } from '../../../test/homeserver/fake-service.js';
import { serverProgram } from '../proxy/processes.js';
import { RedisServer } from '../redis/redis-server.js';
import { databases, type TestDatabase } from '../../../test/support/databases.js';
import { type Cable, layCable } from './cable.js';

const UNKNOWN = json(401, { errcode: 'M_UNKNOWN_TOKEN', error: 'Unknown' });
/** How long an answer holds. */
const TTL_MS = 2000;
const SECRETS = /rk|test|127\.0\.0\.1|localhost|mysql|sqlite|ECONN/i;

describe.each(databases)('the health of a server on $name', ({ name, create }) => {
  let database: TestDatabase;
  let cable: Cable | undefined;
  let homeserver: FakeService;
  let app: NestExpressApplication | undefined;
  let url: string;

  const start = async (variables: Record<string, string> = {}) => {
    const environment = readEnvironment({
      DATABASE_URL: cable?.url ?? database.url,
      PORT: '0',
      LOG_LEVEL: 'warn',
      HOMESERVER_URL: homeserver.url,
      ...variables,
    });
    app = await createApplication(environment);
    app.useLogger(false);
    ({ url } = await listen(app, environment));
  };
  const call = async (path: string) => {
    const response = await fetch(url + path);
    return {
      status: response.status,
      headers: response.headers,
      body: (await response.json()) as { status: string; details: Record<string, object> },
    };
  };
  /** Asks until the answer has a status: an answer holds for a moment. */
  const until = async (status: string) => {
    for (;;) {
      const answer = await call('/health/ready');
      if (answer.body.status === status) return answer;
    }
  };

  beforeEach(async () => {
    database = await create();
    cable = name === 'SQLite' ? undefined : await layCable(database.url);
    homeserver = await startService(UNKNOWN);
  });
  afterEach(async () => {
    await app?.close();
    app = undefined;
    await cable?.close();
    await homeserver.close();
    await database.drop();
  });

  it('is good while all that it needs is there', async () => {
    await start();
    const ready = await until('ok');
    expect(ready.status).toBe(200);
    expect(ready.body).toMatchObject({
      status: 'ok',
      details: { database: { status: 'up' }, verifier: { status: 'up' } },
    });
    expect(ready.headers.get('cache-control')).toContain('no-store');
    expect((await call('/health/live')).body).toEqual({ status: 'ok' });
  });

  it('names no verifier where there are only tokens for development', async () => {
    await start({ HOMESERVER_URL: '', DEV_TOKENS: 'secret=@alice:hs1' });
    const { body } = await until('ok');
    expect(Object.keys(body.details)).toEqual(['database']);
  });

  it('is degraded while the homeserver is away, and the server stays in rotation', async () => {
    await start();
    homeserver.answer = json(500, {});
    const ready = await until('degraded');
    expect(ready.status).toBe(200);
    expect(ready.body).toMatchObject({
      status: 'degraded',
      details: {
        database: { status: 'up' },
        verifier: { status: 'degraded', message: 'does not answer' },
      },
    });
    expect(JSON.stringify(ready.body)).not.toMatch(SECRETS);
    expect((await call('/health/live')).status).toBe(200);
  });

  it('checks the homeserver once for many requests, with an invalid token', async () => {
    await start();
    const begun = performance.now();
    await Promise.all(Array.from({ length: 20 }, () => call('/health/ready')));
    await call('/health/ready?user_id=@alice:hs1&access_token=secret');
    const most = 1 + Math.floor((performance.now() - begun) / TTL_MS);
    expect(homeserver.received.length).toBeGreaterThan(0);
    expect(homeserver.received.length).toBeLessThanOrEqual(most);
    expect(homeserver.received[0]?.url).toBe('/_matrix/client/v3/account/whoami');
    expect(homeserver.received[0]?.headers.authorization).toMatch(/^Bearer [\w-]{43}$/);
  });

  it('does not wait long for a homeserver that hangs', async () => {
    await start({ TOKEN_CHECK_TIMEOUT_MS: '60000' });
    homeserver.answer = () => undefined;
    expect((await until('degraded')).status).toBe(200);
  });

  const redisProgram =
    name === 'SQLite' ? serverProgram('redis-server', 'redis-server') : undefined;
  if (redisProgram !== undefined) {
    it('is degraded while the Redis of shared limits is away', async () => {
      const redis = await RedisServer.at(redisProgram);
      await redis.start();
      try {
        await start({ REDIS_URL: redis.url });
        expect((await until('ok')).body).toMatchObject({ details: { redis: { status: 'up' } } });
        await redis.kill();
        const away = await until('degraded');
        expect(away.status).toBe(200);
        expect(away.body).toMatchObject({
          details: { database: { status: 'up' }, redis: { status: 'degraded' } },
        });
      } finally {
        await redis.kill();
      }
    });
  }

  if (name === 'SQLite') {
    it('is degraded while uploads find the disk full, which the metrics do not take for a service', async () => {
      await start({ HOMESERVER_URL: '', DEV_TOKENS: 'secret=@alice:hs1', METRICS_PORT: '0' });
      const send = (method: string, path: string, body: object) =>
        fetch(`${url}/_matrix/client/v3/room_keys${path}`, {
          method,
          headers: { Authorization: 'Bearer secret' },
          body: JSON.stringify(body),
        });
      const algorithm = 'm.megolm_backup.v1.curve25519-aes-sha2';
      await send('POST', '/version', { algorithm, auth_data: {} });
      const upload = (session: string) =>
        send('PUT', `/keys/!r:hs1/${session}?version=1`, {
          first_message_index: 0,
          forwarded_count: 0,
          is_verified: true,
          session_data: { ciphertext: 'c'.repeat(50_000) },
        });
      const dataSource = app!.get(DataSource);
      // SQLite's own limit stands for the disk: it fails in the same way
      const [{ page_count: pages }] =
        await dataSource.query<[{ page_count: number }]>('PRAGMA page_count');
      await dataSource.query(`PRAGMA max_page_count = ${pages}`);
      expect((await upload('a')).status).toBe(503);
      const full = await call('/health/ready');
      expect(full.status).toBe(200);
      expect(full.body).toMatchObject({
        status: 'degraded',
        details: { disk: { status: 'degraded', message: 'is full, uploads fail' } },
      });
      expect(Object.keys(await app!.get(Dependencies).up())).toEqual(['database']);
      await dataSource.query('PRAGMA max_page_count = 1000000');
      expect((await upload('a')).status).toBe(200);
      expect((await until('ok')).body.details).not.toHaveProperty('disk');
    });
    return;
  }

  it('is bad while the database is away, good again when it is back, and alive all the time', async () => {
    await start();
    expect((await until('ok')).status).toBe(200);
    cable?.pull();
    const away = await until('error');
    expect(away.status).toBe(503);
    expect(away.body).toMatchObject({
      details: {
        database: { status: 'down', message: 'does not answer' },
        verifier: { status: 'up' },
      },
    });
    expect(JSON.stringify(away.body)).not.toMatch(SECRETS);
    expect((await call('/health/live')).status).toBe(200);
    cable?.putBack();
    expect((await until('ok')).status).toBe(200);
  });
});
