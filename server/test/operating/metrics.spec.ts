/**
 * Proves the metrics as Prometheus reads them, on each database: that every operation and what
 * became of it is counted, that the gauges follow what is under way, that no id and no token is in
 * them, and that they are served where they are to be and nowhere else.
 */
import type { NestExpressApplication } from '@nestjs/platform-express';
import { DataSource, type QueryRunner } from 'typeorm';
import { RoomKeysService } from '../../../src/index.js';
import { timeouts } from '../../../src/room-keys/storage/database/timeouts.js';
import { createApplication, listen } from '../../src/application.js';
import { readEnvironment } from '../../src/environment.js';
import { type FakeService, json, startService } from '../../../test/homeserver/fake-service.js';
import { databases, type TestDatabase } from '../../../test/support/databases.js';
import { keyData, keyPath, MatrixClient, roomsBody } from '../../../test/support/matrix-client.js';
import { type Sample, samplesOf, valueOf } from './exposition.js';

const ROOM = '!marked-room:hs1';
const SESSION = 'marked/session';
const SECRET = 'bWFya2VkLXNlY3JldA';
const KEY = keyData({ session_data: { ciphertext: SECRET } });
const ALGORITHM = 'm.megolm_backup.v1.curve25519-aes-sha2';
const REQUESTS = 'room_keys_request_duration_seconds_count';

const { connectionMs, turnMs } = timeouts;

describe.each(databases)('the metrics on $name', ({ name, create }) => {
  let database: TestDatabase;
  let homeserver: FakeService;
  const running: NestExpressApplication[] = [];

  const start = async (variables: Record<string, string> = {}) => {
    const environment = readEnvironment({
      DATABASE_URL: database.url,
      PORT: '0',
      LOG_LEVEL: 'warn',
      METRICS_PORT: '0',
      HOMESERVER_URL: homeserver.url,
      ...variables,
    });
    const app = await createApplication(environment);
    running.push(app);
    app.useLogger(false);
    const { url, metricsUrl = '' } = await listen(app, environment);
    const scrape = async () => samplesOf(await (await fetch(metricsUrl)).text());
    return {
      app,
      url,
      metricsUrl,
      scrape,
      alice: new MatrixClient(url, 'marked-token'),
      /** Scrapes until it is so: the last of a request is counted after its answer. */
      until: async (isSo: (samples: Sample[]) => boolean) => {
        for (;;) {
          const samples = await scrape();
          if (isSo(samples)) return samples;
        }
      },
    };
  };

  beforeEach(async () => {
    database = await create();
    homeserver = await startService((response, request) =>
      request.headers.authorization === 'Bearer marked-token'
        ? json(200, { user_id: '@marked-user:hs1', device_id: 'MARKEDDEVICE' })(response, request)
        : json(401, { errcode: 'M_UNKNOWN_TOKEN', error: 'Unknown' })(response, request),
    );
  });
  afterEach(async () => {
    Object.assign(timeouts, { connectionMs, turnMs });
    for (const app of running.splice(0)) await app.close();
    await homeserver.close();
    await database.drop();
  });

  it('count each operation by its status, with its bytes, and hold no id, token or key', async () => {
    const { alice, until, metricsUrl } = await start();
    const session = `${keyPath(ROOM, SESSION)}?version=1`;
    const room = `${keyPath(ROOM)}?version=1`;
    const operations: [string, string, string, unknown?][] = [
      ['postRoomKeysVersion', 'POST', '/version', { algorithm: ALGORITHM, auth_data: {} }],
      ['getRoomKeysVersionCurrent', 'GET', '/version'],
      ['getRoomKeysVersion', 'GET', '/version/1'],
      ['putRoomKeysVersion', 'PUT', '/version/1', { algorithm: ALGORITHM, auth_data: {} }],
      ['putRoomKeys', 'PUT', '/keys?version=1', roomsBody([[ROOM, 'a', KEY]])],
      ['putRoomKeysByRoomId', 'PUT', room, { sessions: { a: KEY, b: KEY } }],
      ['putRoomKeyBySessionId', 'PUT', session, KEY],
      ['getRoomKeys', 'GET', '/keys?version=1'],
      ['getRoomKeysByRoomId', 'GET', room],
      ['getRoomKeyBySessionId', 'GET', session],
      ['deleteRoomKeyBySessionId', 'DELETE', session],
      ['deleteRoomKeysByRoomId', 'DELETE', room],
      ['deleteRoomKeys', 'DELETE', '/keys?version=1'],
      ['deleteRoomKeysVersion', 'DELETE', '/version/1'],
    ];
    const sizes = new Map<string, [sent: number, received: number]>();
    for (const [operation, method, path, body] of operations) {
      const sent = body === undefined ? undefined : JSON.stringify(body);
      const { status, text } = await alice.send(method, path, sent);
      expect([operation, status]).toEqual([operation, 200]);
      sizes.set(operation, [sent?.length ?? 0, text.length]);
    }
    await alice.get(`${keyPath(ROOM, SESSION)}/more?access_token=marked-token`);
    await alice.get('/version/1');
    await new MatrixClient(alice.url, 'marked-stranger').get('/version');
    const samples = await until(
      (all) => valueOf(all, REQUESTS, { operation: 'none', status: '404' }) === 1,
    );
    for (const [operation, [sent, received]] of sizes) {
      expect(valueOf(samples, REQUESTS, { operation, status: '200' })).toBe(1);
      if (operation === 'getRoomKeysVersion' || operation === 'getRoomKeysVersionCurrent') continue;
      expect(valueOf(samples, 'room_keys_request_bytes_total', { operation })).toBe(sent);
      expect(valueOf(samples, 'room_keys_response_bytes_total', { operation })).toBe(received);
    }
    expect(valueOf(samples, REQUESTS, { operation: 'getRoomKeysVersion', status: '404' })).toBe(1);
    expect(
      valueOf(samples, REQUESTS, { operation: 'getRoomKeysVersionCurrent', status: '401' }),
    ).toBe(1);
    const text = await (await fetch(metricsUrl)).text();
    expect(text).not.toMatch(new RegExp(`marked|${SECRET}`, 'i'));
  });

  it('count what became of keys, of tokens, and of what was deleted', async () => {
    const { alice, until } = await start({ TOKEN_CACHE_TTL_MS: '600000' });
    await alice.createBackup();
    const keys = (from: number, to: number, fields: object = {}) =>
      roomsBody(
        Array.from({ length: to - from }, (_, n) => [ROOM, `s${from + n}`, keyData(fields)]),
      );
    await alice.put('/keys?version=1', keys(0, 600));
    await alice.put('/keys?version=1', keys(0, 2, { is_verified: true }));
    await alice.put('/keys?version=1', keys(0, 5));
    await new MatrixClient(alice.url, 'nobody').get('/version');
    await alice.delete('/keys?version=1');
    const samples = await until((all) => valueOf(all, 'room_keys_swept_keys_total') === 600);
    const values = (metric: string, label: string, names: string[]) =>
      names.map((one) => valueOf(samples, metric, { [label]: one }));
    expect(
      values('room_keys_uploaded_keys_total', 'result', ['added', 'replaced', 'kept']),
    ).toEqual([600, 2, 5]);
    expect(values('room_keys_token_cache_lookups_total', 'result', ['miss', 'hit'])).toEqual([
      2, 4,
    ]);
    expect(
      values('room_keys_token_checks_total', 'outcome', ['known', 'unknown', 'refused', 'failed']),
    ).toEqual([5, 1, 0, 0]);
    expect(
      values('room_keys_verifier_duration_seconds_count', 'outcome', ['known', 'unknown']),
    ).toEqual([1, 1]);
    expect(valueOf(samples, 'room_keys_sweep_backlog')).toBe(0);
    expect(valueOf(samples, 'room_keys_sweep_oldest_seconds')).toBe(0);
    expect(valueOf(samples, 'room_keys_sweeps_total', { result: 'completed' })).toBeGreaterThan(0);
  });

  it('report an unavailable homeserver, and deleted keys that cannot be removed', async () => {
    const { app, alice, until } = await start({ TOKEN_CACHE_TTL_MS: '0' });
    await alice.createBackup();
    await app.get(DataSource).query('ALTER TABLE room_keys_rooms RENAME TO away');
    await alice.delete('/version/1');
    homeserver.answer = json(500, {});
    expect((await alice.get('/version')).status).toBe(503);
    const samples = await until((all) => (valueOf(all, 'room_keys_sweep_oldest_seconds') ?? 0) > 0);
    expect(valueOf(samples, 'room_keys_sweep_backlog')).toBe(1);
    expect(valueOf(samples, 'room_keys_sweeps_total', { result: 'failed' })).toBe(1);
    expect(
      valueOf(samples, 'room_keys_verifier_duration_seconds_count', { outcome: 'failed' }),
    ).toBe(1);
    expect(valueOf(samples, 'room_keys_token_checks_total', { outcome: 'failed' })).toBe(1);
    await until((all) => valueOf(all, 'room_keys_dependency_up', { dependency: 'verifier' }) === 0);
    expect(valueOf(samples, 'room_keys_dependency_up', { dependency: 'database' })).toBe(1);
  });

  it('report token checks that run and wait', async () => {
    const { url, until } = await start({ TOKEN_CHECKS_AT_ONCE: '2' });
    const { answer } = homeserver;
    const held: (() => unknown)[] = [];
    homeserver.answer = (response, request) =>
      request.headers.authorization?.startsWith('Bearer held')
        ? held.push(() => answer(response, request))
        : answer(response, request);
    const state = (samples: Sample[]) => [
      valueOf(samples, 'room_keys_verifier_checks', { state: 'under_way' }),
      valueOf(samples, 'room_keys_verifier_checks', { state: 'waiting' }),
    ];
    const answers = ['held1', 'held2'].map((token) => new MatrixClient(url, token).get('/version'));
    // one of the two, because both come from one address
    await until((samples) => held.length === 1 && String(state(samples)) === '1,1');
    held.pop()?.();
    await until((samples) => held.length === 1 && String(state(samples)) === '1,0');
    held.pop()?.();
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([401, 401]);
    await until((samples) => String(state(samples)) === '0,0');
  });

  it('report connections that are used, free and waited for, and restores', async () => {
    // what waits here must wait until it is seen
    Object.assign(timeouts, { connectionMs: 600_000, turnMs: 600_000 });
    const { app, alice, scrape, until } = await start();
    await alice.createBackup();
    const dataSource = app.get(DataSource);
    const connections = (samples: Sample[]) => [
      valueOf(samples, 'room_keys_database_connections', { state: 'used' }),
      valueOf(samples, 'room_keys_database_waiting'),
    ];
    const max = name === 'SQLite' ? 1 : 10;
    expect(valueOf(await scrape(), 'room_keys_database_connections_max')).toBe(max);
    const pages = await app.get(RoomKeysService).keys('@marked-user:hs1', '1');
    const reading = await scrape();
    expect(valueOf(reading, 'room_keys_restores', { state: 'under_way' })).toBe(1);
    expect(valueOf(reading, 'room_keys_restores', { state: 'waiting' })).toBe(0);
    await pages.close();
    if (name === 'SQLite') {
      // another's transaction holds the one connection that there is
      const runner = dataSource.createQueryRunner();
      await runner.startTransaction();
      const waiting = [
        ...Array.from({ length: 3 }, () => alice.createBackup()),
        ...Array.from({ length: 2 }, () => alice.get('/version')),
      ];
      // one of the changes waits for the transaction, and everything else for that one
      await until(
        (all) =>
          valueOf(all, 'room_keys_changes_waiting') === 2 &&
          valueOf(all, 'room_keys_database_waiting') === 2,
      );
      await runner.rollbackTransaction();
      await Promise.all(waiting);
    } else {
      const runners: QueryRunner[] = [];
      for (let n = 0; n < max; n++) {
        const runner = dataSource.createQueryRunner();
        await runner.connect();
        runners.push(runner);
      }
      const waiting = [alice.get('/version'), alice.get('/version')];
      // the third is the question whether the database answers
      await until((all) => String(connections(all)) === String([max, 3]));
      for (const runner of runners) await runner.release();
      await Promise.all(waiting);
    }
    const free = name === 'SQLite' ? 0 : max;
    await until(
      (all) =>
        valueOf(all, 'room_keys_database_waiting') === 0 &&
        valueOf(all, 'room_keys_database_connections', { state: 'free' }) === free,
    );
  });

  it('are of one application each', async () => {
    const [one, other] = [await start(), await start()];
    await one.alice.createBackup();
    const labels = { operation: 'postRoomKeysVersion', status: '200' };
    await one.until((all) => valueOf(all, REQUESTS, labels) === 1);
    expect(valueOf(await other.scrape(), REQUESTS, labels)).toBeUndefined();
    const version = (await one.scrape()).find(({ name }) => name === 'room_keys_build_info');
    expect(version?.labels.version).toMatch(/^\d+\.\d+\.\d+/);
    expect((await one.scrape()).some(({ name }) => name === 'process_resident_memory_bytes')).toBe(
      true,
    );
  });

  if (name !== 'SQLite') return;

  it('are served on loopback and apart from the API, by GET and HEAD alone', async () => {
    const { url, metricsUrl } = await start({ HOST: '0.0.0.0' });
    expect(new URL(metricsUrl).hostname).toBe('127.0.0.1');
    expect((await fetch(`${url.replace('0.0.0.0', '127.0.0.1')}/metrics`)).status).toBe(404);
    const { origin } = new URL(metricsUrl);
    expect((await fetch(`${origin}/_matrix/client/v3/room_keys/version`)).status).toBe(404);
    expect((await fetch(`${origin}/`)).status).toBe(404);
    expect((await fetch(metricsUrl, { method: 'POST' })).status).toBe(404);
    const head = await fetch(metricsUrl, { method: 'HEAD' });
    expect(head.status).toBe(200);
    expect(head.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  });

  it('are not served without METRICS_PORT', async () => {
    const { metricsUrl } = await start({ METRICS_PORT: '' });
    expect(metricsUrl).toBe('');
  });
});
