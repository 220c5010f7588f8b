/**
 * Proves which events a host's observer receives: of each request, upload, conflict in the database, sweep
 * and check of a token, on each database; and that an observer that fails harms none of them.
 */
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { DataSource } from 'typeorm';
import { MatrixError, type RoomKeysEvent, type RoomKeysOptions } from '../../src/index.js';
import { unknownToken } from '../../src/access-tokens/index.js';
import { RoomKeysMaintenance } from '../../src/operations/index.js';
import {
  startApplication,
  type TestApplication,
  verifyAccessToken,
} from '../support/application.js';
import { type DatabaseName, databases, type TestDatabase } from '../support/databases.js';
import { keyData, keyPath, MatrixClient, roomsBody } from '../support/matrix-client.js';
import { giveUpEarly } from '../support/waiting.js';

/** What the databases say where a lock was waited for in vain, and where a table is missing. */
const CODES: Record<DatabaseName, { waited: string; missing: string }> = {
  SQLite: { waited: 'SQLITE_BUSY', missing: 'SQLITE_ERROR' },
  MariaDB: { waited: 'ER_LOCK_WAIT_TIMEOUT', missing: 'ER_NO_SUCH_TABLE' },
  MySQL: { waited: 'ER_LOCK_WAIT_TIMEOUT', missing: 'ER_NO_SUCH_TABLE' },
  PostgreSQL: { waited: '55P03', missing: '42P01' },
};

interface Told {
  event: RoomKeysEvent;
  request: IncomingMessage | undefined;
}

const ALGORITHM = 'm.megolm_backup.v1.curve25519-aes-sha2';
const SECRET = 'c2VjcmV0';
const KEY = keyData({ session_data: { ciphertext: SECRET } });
const ROOM = '!room:hs1';
const ROOM_KEY = `/keys/${encodeURIComponent(ROOM)}/session`;

/** The 14 operations, in an order in which each succeeds. */
const OPERATIONS: [operation: string, method: string, path: string, body?: unknown][] = [
  ['postRoomKeysVersion', 'POST', '/version', { algorithm: ALGORITHM, auth_data: {} }],
  ['getRoomKeysVersionCurrent', 'GET', '/version'],
  ['getRoomKeysVersion', 'GET', '/version/1'],
  ['putRoomKeysVersion', 'PUT', '/version/1', { algorithm: ALGORITHM, auth_data: {} }],
  ['putRoomKeys', 'PUT', '/keys?version=1', roomsBody([[ROOM, 'first', KEY]])],
  [
    'putRoomKeysByRoomId',
    'PUT',
    `${keyPath(ROOM)}?version=1`,
    { sessions: { first: KEY, other: KEY } },
  ],
  ['putRoomKeyBySessionId', 'PUT', `${ROOM_KEY}?version=1`, KEY],
  ['getRoomKeys', 'GET', '/keys?version=1'],
  ['getRoomKeysByRoomId', 'GET', `${keyPath(ROOM)}?version=1`],
  ['getRoomKeyBySessionId', 'GET', `${ROOM_KEY}?version=1`],
  ['deleteRoomKeyBySessionId', 'DELETE', `${ROOM_KEY}?version=1`],
  ['deleteRoomKeysByRoomId', 'DELETE', `${keyPath(ROOM)}?version=1`],
  ['deleteRoomKeys', 'DELETE', '/keys?version=1'],
  ['deleteRoomKeysVersion', 'DELETE', '/version/1'],
];

describe.each(databases)('an observer on $name', ({ create, name }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let told: Told[];
  let hear: () => void;

  const start = async (options: Partial<RoomKeysOptions> = {}) => {
    database = await create();
    application = await startApplication(database, {
      observe: (event, request) => {
        told.push({ event, request });
        hear();
      },
      verifyAccessToken: (token, request) => {
        if (token === 'ended') throw unknownToken(true);
        if (token === 'locked') throw new MatrixError(401, { errcode: 'M_USER_LOCKED', error: '' });
        return verifyAccessToken(token, request);
      },
      ...options,
    });
  };
  beforeEach(() => {
    told = [];
    hear = () => undefined;
  });
  afterEach(async () => {
    await application.close();
    await database.drop();
  });

  const ofType = <T extends RoomKeysEvent['type']>(type: T) =>
    told
      .map(({ event }) => event)
      .filter((event): event is Extract<RoomKeysEvent, { type: T }> => event.type === type);
  /** Waits until so many events of a type have come: the last of a request comes after its answer. */
  const heard = async <T extends RoomKeysEvent['type']>(type: T, count: number) => {
    while (ofType(type).length < count) {
      await new Promise<void>((resolve) => {
        hear = resolve;
      });
    }
    expect(ofType(type)).toHaveLength(count);
    return ofType(type);
  };

  it('receives each operation, by its name, with status, time, sizes and user', async () => {
    await start();
    const alice = application.client('alice');
    const expected: object[] = [];
    for (const [operation, method, path, body] of OPERATIONS) {
      const sent = body === undefined ? undefined : JSON.stringify(body);
      const answer = await alice.send(method, path, sent);
      expect(answer.status).toBe(200);
      expected.push({
        type: 'request',
        operation,
        method,
        prefix: 'v3',
        status: 200,
        durationMs: expect.any(Number) as number,
        requestBytes: sent?.length ?? 0,
        responseBytes: answer.text.length,
        userId: '@alice:hs1',
        aborted: false,
      });
    }
    const requests = await heard('request', OPERATIONS.length);
    expect(requests).toEqual(expected);
    expect(requests.every(({ durationMs }) => durationMs > 0)).toBe(true);
  });

  it('is handed the request beside its event, and nothing of it within', async () => {
    await start();
    for (const [, method, path, body] of OPERATIONS)
      await application
        .client('alice')
        .send(method, path, body === undefined ? undefined : JSON.stringify(body));
    await heard('request', OPERATIONS.length);
    for (const { event, request } of told)
      expect(request?.url).toEqual(
        event.type === 'request' ? (expect.stringContaining('/room_keys/') as string) : undefined,
      );
    const text = JSON.stringify(told.map(({ event }) => event));
    expect(text).not.toMatch(new RegExp(`${ROOM}|session|Bearer|${SECRET}`));
    // who it was is said of requests alone
    const others = told.map(({ event }) => event).filter(({ type }) => type !== 'request');
    expect(JSON.stringify(others)).not.toContain('alice');
  });

  it('receives requests that are not operations, and the prefixes of old clients', async () => {
    await start();
    const { url } = application;
    const client = (prefix: string) =>
      new MatrixClient(url, 'alice', `/_matrix/client/${prefix}/room_keys`);
    await client('v3').get('/nothing');
    await client('v3').send('PATCH', '/version');
    await client('v3').send('OPTIONS', '/version');
    await client('r0').get('/version');
    await client('unstable').get('/version');
    await client('v3').put('/keys?version=1', 'no object');
    await new MatrixClient(url, undefined).get('/version');
    await new MatrixClient(url, 'nobody').get('/version');
    await fetch(`${url}/elsewhere`);
    const requests = await heard('request', 8);
    expect(
      requests.map(({ prefix, method, operation, status, userId }) => [
        prefix,
        method,
        operation,
        status,
        userId,
      ]),
    ).toEqual([
      ['v3', 'GET', undefined, 404, undefined],
      ['v3', 'PATCH', undefined, 405, undefined],
      ['v3', 'OPTIONS', undefined, 204, undefined],
      ['r0', 'GET', 'getRoomKeysVersionCurrent', 404, '@alice:hs1'],
      ['unstable', 'GET', 'getRoomKeysVersionCurrent', 404, '@alice:hs1'],
      ['v3', 'PUT', 'putRoomKeys', 400, '@alice:hs1'],
      ['v3', 'GET', 'getRoomKeysVersionCurrent', 401, undefined],
      ['v3', 'GET', 'getRoomKeysVersionCurrent', 401, undefined],
    ]);
    expect(requests.every(({ aborted }) => !aborted)).toBe(true);
  });

  it('receives a client that leaves before its upload is complete', async () => {
    await start();
    const { hostname, port } = new URL(application.url);
    const socket = connect(Number(port), hostname);
    socket.write(
      'PUT /_matrix/client/v3/room_keys/keys?version=1 HTTP/1.1\r\nHost: x\r\n' +
        'Authorization: Bearer alice\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n',
    );
    await once(socket, 'data');
    socket.destroy();
    expect(await heard('request', 1)).toEqual([
      expect.objectContaining({
        operation: 'putRoomKeys',
        status: undefined,
        aborted: true,
        userId: '@alice:hs1',
        responseBytes: 0,
      }),
    ]);
  });

  it('receives how far a restore got before its client left', async () => {
    await start();
    const alice = application.client('alice');
    await alice.createBackup();
    const large = keyData({ session_data: { x: 'y'.repeat(20_000) } });
    const size = 500;
    await alice.put(
      '/keys?version=1',
      roomsBody(Array.from({ length: size }, (_, n) => [ROOM, `s${n}`, large] as const)),
    );
    const { hostname, port } = new URL(application.url);
    const socket = connect(Number(port), hostname);
    socket.write(
      'GET /_matrix/client/v3/room_keys/keys?version=1 HTTP/1.1\r\nHost: x\r\n' +
        'Authorization: Bearer alice\r\n\r\n',
    );
    await once(socket, 'data');
    socket.destroy();
    const restore = (await heard('request', 3)).at(-1);
    expect(restore).toMatchObject({ operation: 'getRoomKeys', status: 200, aborted: true });
    expect(restore?.responseBytes).toBeGreaterThan(0);
    expect(restore?.responseBytes).toBeLessThan(size * 20_000);
  });

  it('receives how many keys an upload added, replaced and kept', async () => {
    await start();
    const alice = application.client('alice');
    await alice.createBackup();
    const keys = (from: number, to: number, fields: object = {}) =>
      Array.from({ length: to - from }, (_, n) => [ROOM, `s${from + n}`, keyData(fields)] as const);
    await alice.put('/keys?version=1', roomsBody(keys(0, 5)));
    await alice.put(
      '/keys?version=1',
      roomsBody([...keys(0, 2, { is_verified: true }), ...keys(2, 5), ...keys(5, 9)]),
    );
    await alice.put('/keys?version=1', roomsBody(keys(0, 9)));
    await alice.put('/keys?version=1', roomsBody([]));
    await alice.put('/keys?version=9', roomsBody(keys(20, 30)));
    expect(ofType('keys')).toEqual([
      { type: 'keys', added: 5, replaced: 0, kept: 0 },
      { type: 'keys', added: 4, replaced: 2, kept: 3 },
      { type: 'keys', added: 0, replaced: 0, kept: 9 },
      { type: 'keys', added: 0, replaced: 0, kept: 0 },
    ]);
  });

  it('receives the outcome of each token check', async () => {
    await start();
    for (const token of ['alice', 'nobody', 'ended', 'guest-zoe', 'locked', 'down'])
      await application.client(token).get('/version');
    await new MatrixClient(application.url, undefined).get('/version');
    expect(ofType('token')).toEqual(
      ['known', 'unknown', 'unknown', 'refused', 'refused', 'failed'].map((outcome) => ({
        type: 'token',
        outcome,
        durationMs: expect.any(Number) as number,
      })),
    );
  });

  it('receives what was swept, and what is left', async () => {
    await start();
    const alice = application.client('alice');
    await heard('sweep', 1); // the look at the start
    await alice.createBackup();
    for (let version = 0; version < 2; version++) {
      const keys = Array.from({ length: 600 }, (_, n) => [ROOM, `s${n}`, keyData()] as const);
      await alice.put('/keys?version=1', roomsBody(keys));
      await alice.delete('/keys?version=1');
      const sweeps = await heard('sweep', version + 2);
      expect(sweeps.at(-1)).toEqual({
        type: 'sweep',
        rows: 600,
        sets: 1,
        rooms: 0,
        durationMs: expect.any(Number) as number,
        backlog: 0,
        oldestMs: 0,
        kept: { deletions: 0, keys: 0 },
        failure: undefined,
      });
    }
    expect(ofType('sweep')[0]).toMatchObject({ rows: 0, sets: 0, backlog: 0 });
  });

  it('receives each change to a backup other than uploads, once', async () => {
    await start({ keepDeletedDays: 1 });
    const alice = application.client('alice/PHONE');
    await alice.createBackup();
    const keys = [0, 1, 2].map((n) => [`${ROOM}${n % 2}`, `s${n}`, keyData()] as const);
    await alice.put('/keys?version=1', roomsBody(keys));
    await alice.put('/version/1', {
      algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2',
      auth_data: { public_key: 'abc', signatures: {} },
    });
    await alice.delete(`${keyPath(`${ROOM}0`)}?version=1`);
    // nothing is left of it, and of one key nothing is said
    await alice.delete(`${keyPath(`${ROOM}0`)}?version=1`);
    await alice.delete(`${keyPath(`${ROOM}1`, 's1')}?version=1`);
    await alice.delete('/version/1');
    await alice.delete('/version/1');
    await application.app.get(RoomKeysMaintenance).eraseUser('@alice:hs1');
    await application.app.get(RoomKeysMaintenance).eraseUser('@alice:hs1');
    expect(ofType('backup').map(({ type: _, ...change }) => change)).toEqual([
      { what: 'created', version: '1', count: 0, etag: '0' },
      { what: 'auth_data', version: '1', count: 3, etag: '1' },
      { what: 'keys_deleted', version: '1', count: 2, etag: '2' },
      { what: 'deleted', version: '1', count: 0, etag: '3' },
      { what: 'erased', count: 0 },
    ]);
  });

  it('receives a failed sweep', async () => {
    await start();
    await heard('sweep', 1);
    const alice = application.client('alice');
    await alice.createBackup();
    await application.dataSource.query('ALTER TABLE room_keys_rooms RENAME TO away');
    await alice.delete('/version/1');
    const sweep = (await heard('sweep', 2)).at(-1);
    expect(sweep).toMatchObject({ rows: 0, sets: 0, backlog: 1 });
    expect(sweep?.failure).toBe(CODES[name].missing);
    expect(sweep?.oldestMs).toBeGreaterThanOrEqual(0);
  });

  it('receives each conflict, and the upload then succeeds', async () => {
    await start();
    const alice = application.client('alice');
    await alice.createBackup();
    const { release } = await holdLocks(database, application.dataSource);
    const upload = alice.put('/keys?version=1', roomsBody([[ROOM, 's', keyData()]]));
    await heard('conflict', 1);
    await release();
    expect((await upload).body).toEqual({ count: 1, etag: '1' });
    expect(ofType('conflict')[0]).toEqual({
      type: 'conflict',
      code: CODES[name].waited,
      attempt: 1,
      gaveUp: false,
    });
    expect(ofType('keys')).toEqual([{ type: 'keys', added: 1, replaced: 0, kept: 0 }]);
  });

  it.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('of the host');
      },
    ],
    ['fails later', () => Promise.reject(new Error('of the host'))],
  ])('that %s harms no request', async (_, observe) => {
    await start({ observe: observe });
    const alice = application.client('alice');
    for (const [, method, path, body] of OPERATIONS) {
      const sent = body === undefined ? undefined : JSON.stringify(body);
      expect((await alice.send(method, path, sent)).status).toBe(200);
    }
    expect((await application.client('nobody').get('/version')).status).toBe(401);
    expect((await alice.get('/nothing')).status).toBe(404);
  });
});

/** Holds the lock that an upload needs, and has who waits for it give up at once. */
async function holdLocks(database: TestDatabase, dataSource: DataSource) {
  const { DataSource: Another } = await import('typeorm');
  const another = await new Another(database.dataSourceOptions).initialize();
  const runner = another.createQueryRunner();
  const bePatient = giveUpEarly(dataSource);
  if (another.options.type === 'better-sqlite3') {
    await runner.query('BEGIN IMMEDIATE');
  } else {
    await runner.query('BEGIN');
    await runner.query('SELECT * FROM room_keys_users FOR UPDATE');
  }
  return {
    release: async () => {
      await runner.query('ROLLBACK');
      bePatient();
      await another.destroy();
    },
  };
}
