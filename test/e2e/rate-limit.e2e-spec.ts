/**
 * Proves limits of requests over HTTP: what the client of who is over them is told, on each of the 14
 * operations, and when in the course of a request; that neither another user nor anybody's data is
 * touched; and that a host can bring its own limiter, or none.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { MatrixError, type RoomKeysEvent, type RoomKeysOptions } from '../../src/index.js';
import { type RateLimitedRequest, type RateLimiter, rateLimits } from '../../src/rate-limits.js';
import {
  startApplication,
  type TestApplication,
  verifyAccessToken,
} from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, keyPath, MatrixClient, roomsBody } from '../support/matrix-client.js';

const ROOM = '!room:hs1';
const KEY = keyData();
const INFORMATION = { algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2', auth_data: {} };

/** The 14 operations, in an order in which each succeeds. */
const OPERATIONS: [operation: string, method: string, path: string, body?: object][] = [
  ['postRoomKeysVersion', 'POST', '/version', INFORMATION],
  ['getRoomKeysVersionCurrent', 'GET', '/version'],
  ['getRoomKeysVersion', 'GET', '/version/1'],
  ['putRoomKeysVersion', 'PUT', '/version/1', INFORMATION],
  ['putRoomKeys', 'PUT', '/keys?version=1', roomsBody([[ROOM, 's', KEY]])],
  ['putRoomKeysByRoomId', 'PUT', `${keyPath(ROOM)}?version=1`, { sessions: { s: KEY } }],
  ['putRoomKeyBySessionId', 'PUT', `${keyPath(ROOM, 's')}?version=1`, KEY],
  ['getRoomKeys', 'GET', '/keys?version=1'],
  ['getRoomKeysByRoomId', 'GET', `${keyPath(ROOM)}?version=1`],
  ['getRoomKeyBySessionId', 'GET', `${keyPath(ROOM, 's')}?version=1`],
  ['deleteRoomKeyBySessionId', 'DELETE', `${keyPath(ROOM, 's')}?version=1`],
  ['deleteRoomKeysByRoomId', 'DELETE', `${keyPath(ROOM)}?version=1`],
  ['deleteRoomKeys', 'DELETE', '/keys?version=1'],
  ['deleteRoomKeysVersion', 'DELETE', '/version/1'],
];

const REFUSED = {
  status: 429,
  body: { errcode: 'M_LIMIT_EXCEEDED', error: 'Too many requests.', retry_after_ms: 1001 },
};

// It never comes to a statement that differs between databases, so that one of them is enough.
const { create } = databases[0]!;
let database: TestDatabase;
let application: TestApplication;

const start = async (options: Partial<RoomKeysOptions> = {}) => {
  database = await create();
  application = await startApplication(database, options);
};

afterEach(async () => {
  await application.close();
  await database.drop();
});

const call = (client: MatrixClient, method: string, path: string, body?: object) =>
  client.send(method, path, body && JSON.stringify(body));

describe('a user over the limit', () => {
  let isOver = false;
  let asked: RateLimitedRequest[] = [];
  const limiter: RateLimiter = (request) => {
    asked.push(request);
    return isOver ? 1000.4 : undefined;
  };

  beforeEach(() => {
    isOver = false;
    asked = [];
  });

  it('is refused on each operation, and nothing happens', async () => {
    await start({ rateLimit: limiter });
    const alice = application.client('alice/PHONE');
    for (const [operation, method, path, body] of OPERATIONS) {
      isOver = true;
      const refused = await call(alice, method, path, body);
      expect(refused).toMatchObject(REFUSED);
      expect(refused.body).toEqual(REFUSED.body);
      expect(refused.headers.get('retry-after')).toBe('2');
      expect(refused.headers.get('access-control-allow-origin')).toBe('*');
      isOver = false;
      // had it been done, it could not be done now with the same outcome
      expect((await call(alice, method, path, body)).status).toBe(200);
      expect(asked.splice(0)).toEqual(
        [1, 2].map(() => ({
          owner: { userId: '@alice:hs1', deviceId: 'PHONE', isGuest: false },
          operation,
          kind: method === 'GET' ? 'read' : 'write',
        })),
      );
    }
  });

  it.each(['v3', 'r0', 'unstable'])('is refused under %s', async (version) => {
    await start({ rateLimit: limiter });
    isOver = true;
    const alice = new MatrixClient(
      application.url,
      'alice',
      `/_matrix/client/${version}/room_keys`,
    );
    expect(await alice.get('/version')).toMatchObject(REFUSED);
  });

  it('hears of it after route and token, and before query and body', async () => {
    await start({ rateLimit: limiter });
    isOver = true;
    const alice = application.client('alice');
    expect((await alice.get('/nothing')).status).toBe(404);
    expect((await alice.post('/keys', {})).status).toBe(405);
    expect((await application.client('nobody').get('/version')).status).toBe(401);
    expect((await application.client('guest-zoe').get('/version')).status).toBe(403);
    expect((await alice.send('OPTIONS', '/version')).status).toBe(204);
    expect(asked).toEqual([]);

    for (const path of [
      '/keys',
      '/keys?version=',
      '/keys?version=1&version=2',
      '/keys/%ff?version=1',
    ])
      expect(await alice.get(path)).toMatchObject(REFUSED);
    for (const body of ['', '{', '[]']) {
      expect(await alice.send('PUT', '/keys?version=1', body)).toMatchObject(REFUSED);
    }
    expect(await alice.put('/keys', {})).toMatchObject(REFUSED);
  });

  it('is refused before the body is there', async () => {
    await start({ rateLimit: limiter });
    isOver = true;
    const { hostname, port } = new URL(application.url);
    const socket = connect(Number(port), hostname);
    let answer = '';
    socket.setEncoding('utf8').on('data', (text: string) => (answer += text));
    socket.write(
      'PUT /_matrix/client/v3/room_keys/keys?version=1 HTTP/1.1\r\nHost: x\r\n' +
        'Authorization: Bearer alice\r\nContent-Length: 1000000\r\n\r\n{"rooms":',
    );
    while (!answer.includes('}')) await once(socket, 'data');
    socket.destroy();
    expect(answer).toMatch(/^HTTP\/1\.1 429 /);
    expect(answer).toContain('"errcode":"M_LIMIT_EXCEEDED"');
  });

  it('is seen by the observer, with operation, status and user', async () => {
    const events: RoomKeysEvent[] = [];
    await start({ rateLimit: limiter, observe: (event) => events.push(event) });
    isOver = true;
    await application.client('alice').get('/version');
    const requests = () => events.filter(({ type }) => type === 'request');
    // the event may come a moment after the answer
    while (requests().length === 0) await new Promise(setImmediate);
    expect(requests()).toEqual([
      expect.objectContaining({
        operation: 'getRoomKeysVersionCurrent',
        status: 429,
        userId: '@alice:hs1',
      }),
    ]);
  });
});

describe('the ready-made limiter', () => {
  const few = rateLimits({ reads: { perSecond: 1, burst: 5 }, writes: { perSecond: 1, burst: 5 } });
  const statuses = async (client: MatrixClient, count: number) => {
    const answers = await Promise.all(Array.from({ length: count }, () => client.get('/version')));
    return answers.map(({ status }) => status);
  };

  it('tells two users behind one address apart', async () => {
    await start({ rateLimit: few });
    const alice = application.client('alice');
    const bob = application.client('bob');
    expect(await statuses(alice, 40)).toContain(429);
    expect(await bob.createBackup()).toBe('1');
    expect(await statuses(bob, 5)).toEqual(Array(5).fill(200));
    // and what one reads does not hinder what they write
    expect(await alice.createBackup()).toBe('1');
  });

  it('counts the devices of a user, and the three prefixes, together', async () => {
    await start({ rateLimit: rateLimits({ reads: { perSecond: 1, burst: 50 } }) });
    const { url } = application;
    const clients = ['v3', 'r0', 'unstable'].map(
      (version) =>
        new MatrixClient(url, `carol/${version}`, `/_matrix/client/${version}/room_keys`),
    );
    // none of them is over the limit with its own
    const all = (await Promise.all(clients.map((client) => statuses(client, 50)))).flat();
    expect(all).toContain(429);
    expect(all).not.toEqual(Array(150).fill(429));
  });

  it('lets an owner pass whom the verifier frees of it', async () => {
    await start({
      rateLimit: few,
      verifyAccessToken: async (token, request) => {
        const owner = await verifyAccessToken(token, request);
        return owner && { ...owner, isRateLimited: token !== 'bridge' };
      },
    });
    expect(await statuses(application.client('bridge'), 40)).toEqual(Array(40).fill(404));
    expect(await statuses(application.client('dora'), 40)).toContain(429);
  });

  it('is there by default, and lets a client pass that goes on without a pause', async () => {
    await start();
    const alice = application.client('alice');
    await alice.createBackup();
    for (let n = 0; n < 1500; n++) {
      const body = roomsBody([[ROOM, `s${n % 10}`, KEY]]);
      expect((await alice.put('/keys?version=1', body)).status).toBe(200);
      expect((await alice.get(`${keyPath(ROOM, `s${n % 10}`)}?version=1`)).status).toBe(200);
    }
  });
});

describe('a host', () => {
  it('can do without limits', async () => {
    await start({ rateLimit: false });
    const alice = application.client('alice');
    const answers = await Promise.all(Array.from({ length: 200 }, () => alice.get('/version')));
    expect(answers.every(({ status }) => status === 404)).toBe(true);
  });

  it('can refuse with an error of its own', async () => {
    const body = { errcode: 'ORG.EXAMPLE.QUOTA', error: 'The plan is used up.' };
    await start({
      rateLimit: () => Promise.reject(new MatrixError(402, body)),
    });
    expect(await application.client('alice').get('/version')).toMatchObject({ status: 402, body });
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no'))],
    ['returns what is no number', () => NaN],
    ['returns what is no number either', () => 'soon' as never],
  ] as [string, RateLimiter][])(
    'lets requests pass with a limiter that %s',
    async (_, rateLimit) => {
      await start({ rateLimit });
      expect(await application.client('alice').createBackup()).toBe('1');
      expect((await application.client('alice').get('/version')).status).toBe(200);
    },
  );

  it.each([[0], [-5]])('has a client wait for at least a moment: %d', async (waitMs) => {
    await start({ rateLimit: () => waitMs });
    const { status, body, headers } = await application.client('alice').get('/version');
    expect({ status, wait: body.retry_after_ms as number }).toEqual({ status: 429, wait: 1 });
    expect(headers.get('retry-after')).toBe('1');
  });
});
