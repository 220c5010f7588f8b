/**
 * Proves the log of the server, as a process of its own: one line for each request, whatever became
 * of it, all of them JSON, and in the output of all operations and of all failures that there are
 * nothing of a token, a key, or the id of a user, a room, a session or a device.
 */
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataSource } from 'typeorm';
import { type FakeService, json, startService } from '../../../test/homeserver/fake-service.js';
import { databases, type TestDatabase } from '../../../test/support/databases.js';
import { keyData, keyPath, roomsBody } from '../../../test/support/matrix-client.js';
import { asVictim } from '../../../test/support/deadlock.js';
import { query } from '../../../test/support/sql.js';
import { type Cable, layCable } from './cable.js';
import { build, ServerProcess } from './server-process.js';

/** Whatever the server gets of a client has this in it, and none of it may come out. */
const MARK = /m4rk/i;
const TOKEN = 'syt_m4rkToken';
const STRANGER = 'syt_m4rkStranger';
const USER = '@m4rkUser:hs1';
const ROOM = '!m4rk\'Room"\n:hs1';
const SESSION = 'm4rk/Session';
const ALGORITHM = 'm.megolm_backup.v1.curve25519-aes-sha2';
const API = '/_matrix/client/v3/room_keys';
const KEY = keyData({ session_data: { ciphertext: 'm4rkSecret' } });

type Line = Record<string, unknown>;

beforeAll(build);

describe.each(databases)('the log of a server on $name', ({ name, create }) => {
  let database: TestDatabase;
  let cable: Cable | undefined;
  let homeserver: FakeService;
  let server: ServerProcess;
  let url: string;
  let count = 0;

  const start = async (variables: Record<string, string> = {}) => {
    server = new ServerProcess({
      DATABASE_URL: cable?.url ?? database.url,
      HOMESERVER_URL: homeserver.url,
      LOG_LEVEL: 'debug',
      ...variables,
    });
    ({ url } = await server.serving());
  };
  const send = async (
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = { Authorization: `Bearer ${TOKEN}` },
  ) => {
    const id = `request-${++count}`;
    const response = await fetch(url + API + path, {
      method,
      headers: { 'X-Request-Id': id, ...headers },
      ...(body === undefined
        ? {}
        : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    await response.text();
    return { id, status: response.status };
  };
  const lineOf = (id: string) =>
    server.line((line) => line.context === 'Request' && line.requestId === id);

  beforeEach(async () => {
    database = await create();
    cable = name === 'SQLite' ? undefined : await layCable(database.url);
    homeserver = await startService((response, request) =>
      request.headers.authorization === `Bearer ${TOKEN}`
        ? json(200, { user_id: USER, device_id: 'M4RKDEVICE' })(response, request)
        : json(401, { errcode: 'M_UNKNOWN_TOKEN', error: 'm4rk' })(response, request),
    );
  });
  afterEach(async () => {
    await server.stop('SIGKILL');
    await cable?.close();
    await homeserver.close();
    await database.drop();
  });

  it('has one line for each operation, and says nothing of whose and what', async () => {
    await start();
    const session = `${keyPath(ROOM, SESSION)}?version=1`;
    const room = `${keyPath(ROOM)}?version=1`;
    const operations: [string, string, string, unknown?][] = [
      ['postRoomKeysVersion', 'POST', '/version', { algorithm: ALGORITHM, auth_data: { m4rk: 1 } }],
      ['getRoomKeysVersionCurrent', 'GET', '/version'],
      ['getRoomKeysVersion', 'GET', '/version/1'],
      ['putRoomKeysVersion', 'PUT', '/version/1', { algorithm: ALGORITHM, auth_data: {} }],
      ['putRoomKeys', 'PUT', '/keys?version=1', roomsBody([[ROOM, SESSION, KEY]])],
      ['putRoomKeysByRoomId', 'PUT', room, { sessions: { [SESSION]: KEY } }],
      ['putRoomKeyBySessionId', 'PUT', session, KEY],
      ['getRoomKeys', 'GET', '/keys?version=1'],
      ['getRoomKeysByRoomId', 'GET', room],
      ['getRoomKeyBySessionId', 'GET', session],
      ['deleteRoomKeyBySessionId', 'DELETE', session],
      ['deleteRoomKeysByRoomId', 'DELETE', room],
      ['deleteRoomKeys', 'DELETE', '/keys?version=1'],
      ['deleteRoomKeysVersion', 'DELETE', '/version/1'],
    ];
    for (const [operation, method, path, body] of operations) {
      const { id, status } = await send(method, path, body);
      expect([operation, status]).toEqual([operation, 200]);
      expect(await lineOf(id)).toEqual({
        timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
        level: 'info',
        pid: expect.any(Number),
        context: 'Request',
        message: `${operation} 200`,
        requestId: id,
        operation,
        method,
        status: 200,
        durationMs: expect.any(Number),
        requestBytes: body === undefined ? 0 : JSON.stringify(body).length,
        responseBytes: expect.any(Number),
      });
    }
    expect(server.lines.filter(({ context }) => context === 'Request')).toHaveLength(14);
    expect(await server.stop()).toBe(0);
    expect(server.output).not.toMatch(MARK);
    expect(server.lines.at(-2)).toMatchObject({ message: 'Stopping on SIGTERM', level: 'info' });
    expect(server.lines.at(-1)).toMatchObject({ message: 'Stopped' });
  });

  it('has one line for each failure, and says nothing of whose and what', async () => {
    await start({ MAX_BODY_BYTES: '20000', TOKEN_CACHE_TTL_MS: '0' });
    await send('POST', '/version', { algorithm: ALGORITHM, auth_data: {} });
    await send('POST', '/version', { algorithm: ALGORITHM, auth_data: {} });
    const none = {};
    const bearer = { Authorization: `Bearer ${TOKEN}` };
    const key = `${keyPath(ROOM, SESSION)}?version=2`;
    const failures: [status: number, ...Parameters<typeof send>][] = [
      [401, 'GET', '/version', undefined, none],
      [401, 'GET', '/version', undefined, { Authorization: `Bearer ${STRANGER}` }],
      [401, 'GET', `/version?access_token=${STRANGER}`, undefined, none],
      [400, 'PUT', key, '{"session_data":"m4rk'],
      [400, 'PUT', key, { ...KEY, is_verified: 'm4rk' }],
      [400, 'POST', '/version', { algorithm: 'm4rk', auth_data: {} }],
      [413, 'PUT', key, keyData({ session_data: { x: 'm4rk'.repeat(10_000) } })],
      [400, 'PUT', `/keys/${'m4rk'.repeat(80)}?version=2`, { sessions: {} }],
      [403, 'PUT', '/keys?version=1', roomsBody([[ROOM, SESSION, KEY]])],
      [404, 'GET', '/keys?version=m4rk'],
      [404, 'GET', `/version/m4rk`],
      [404, 'GET', key],
      [404, 'GET', `/keys/m4rk/m4rk/m4rk?access_token=${TOKEN}`],
      [404, 'GET', `/m4rk?access_token=${TOKEN}`],
      [405, 'PATCH', `${keyPath(ROOM)}?version=m4rk`],
      [204, 'OPTIONS', `${keyPath(ROOM)}?version=m4rk`],
      [415, 'PUT', key, '{}', { ...bearer, 'Content-Encoding': 'm4rk' }],
      [400, 'GET', '/keys?version=1&version=m4rk'],
    ];
    for (const [status, ...request] of failures) {
      const answer = await send(...request);
      expect([...request, answer.status]).toEqual([...request, status]);
      const line = await lineOf(answer.id);
      expect(line).toMatchObject({ status, level: status === 204 ? 'debug' : 'info' });
    }
    const requests = () => server.lines.filter(({ context }) => context === 'Request');
    expect(requests()).toHaveLength(failures.length + 2);

    // what the verifier says when it cannot say
    const answering = homeserver.answer;
    homeserver.answer = json(502, { m4rk: 1 });
    const away = await send('GET', '/version');
    expect(away.status).toBe(503);
    expect(await lineOf(away.id)).toMatchObject({ level: 'warn', status: 503 });
    // the cause is logged for that request
    expect(
      await server.line(({ level, requestId }) => level === 'error' && requestId === away.id),
    ).toMatchObject({ context: 'RoomKeysAccessToken' });
    homeserver.answer = answering;

    // a database that is not as it should be
    await sabotage(database, 'ALTER TABLE room_keys_keys RENAME TO away');
    const broken = await send('PUT', '/keys?version=2', roomsBody([[ROOM, SESSION, KEY]]));
    expect(broken.status).toBe(500);
    await sabotage(database, 'ALTER TABLE away RENAME TO room_keys_keys');
    await sabotage(database, 'CREATE UNIQUE INDEX one_room ON room_keys_rooms (room_id)');
    await sabotage(
      database,
      `INSERT INTO room_keys_rooms (key_set_id, room_no, room_id) VALUES (99, 1, ${hex(ROOM)})`,
    );
    const twice = await send('PUT', '/keys?version=2', roomsBody([[ROOM, SESSION, KEY]]));
    expect(twice.status).toBe(500);
    for (const { id } of [broken, twice])
      expect(
        await server.line(({ level, requestId }) => level === 'error' && requestId === id),
      ).toMatchObject({ message: expect.stringContaining('QueryFailedError') });

    if (cable) {
      cable.pull();
      expect((await send('GET', '/version')).status).toBe(503);
      cable.putBack();
    }
    expect(await server.stop()).toBe(0);
    expect(server.output).not.toMatch(MARK);
    expect(server.lines.length).toBeGreaterThan(failures.length);
  });

  it('has a line for a client that left, and none for bytes that are not a request', async () => {
    await start();
    await send('POST', '/version', { algorithm: ALGORITHM, auth_data: {} });
    const large = keyData({ session_data: { x: 'm4rk'.repeat(20_000) } });
    for (let n = 0; n < 3; n++) {
      const some = Array.from({ length: 100 }, (_, i) => [ROOM, `${n}-${i}`, large] as const);
      await send('PUT', '/keys?version=1', roomsBody(some));
    }
    const say = async (text: string, until = 'data') => {
      const { hostname, port } = new URL(url);
      const socket = connect(Number(port), hostname);
      socket.on('error', () => undefined);
      socket.write(text);
      if (until === 'data') await once(socket, 'data');
      else await once(socket.resume(), 'close');
      socket.destroy();
    };
    const head = (id: string, more: string) =>
      `Host: x\r\nX-Request-Id: ${id}\r\nAuthorization: Bearer ${TOKEN}\r\n${more}\r\n`;
    // in the middle of an upload, and of a restore
    await say(
      `PUT ${API}/keys?version=1 HTTP/1.1\r\n${head('upload', 'Expect: 100-continue\r\nContent-Length: 1000\r\n')}`,
    );
    expect(await lineOf('upload')).toMatchObject({ aborted: true, operation: 'putRoomKeys' });
    expect((await lineOf('upload')).status).toBeUndefined();
    await say(`GET ${API}/keys?version=1 HTTP/1.1\r\n${head('restore', '')}`);
    expect(await lineOf('restore')).toMatchObject({ aborted: true, status: 200 });
    // a target in absolute form, whose query holds the token
    await say(
      `GET http://m4rk/${API.slice(1)}/version?access_token=${TOKEN} HTTP/1.1\r\n${head('absolute', '')}`,
    );
    expect(await lineOf('absolute')).toMatchObject({ operation: 'getRoomKeysVersionCurrent' });
    await say(`GET http://m4rk/m4rk?m4rk HTTP/1.1\r\n${head('elsewhere', '')}`);
    expect(await lineOf('elsewhere')).toMatchObject({ path: '/*', status: 404 });
    await say(`GET /m4rk /m4rk HTTP/1.1\r\nHost: x\r\n\r\n`, 'close');
    await say(`m4rk\r\n\r\n`, 'close');
    await say(`GET /${'m4rk'.repeat(5000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 'close');
    expect(await server.stop()).toBe(0);
    expect(server.output).not.toMatch(MARK);
    expect(server.lines.length).toBeGreaterThan(5);
  });

  it('contains the user of a request if configured', async () => {
    await start({ LOG_USER_IDS: 'true' });
    const { id } = await send('GET', '/version');
    expect(await lineOf(id)).toMatchObject({ userId: USER });
    const stranger = await send('GET', '/version', undefined, {});
    expect((await lineOf(stranger.id)).userId).toBeUndefined();
    await server.stop();
    const others: Line[] = server.lines.filter(({ context }) => context !== 'Request');
    expect(JSON.stringify(others)).not.toMatch(MARK);
    expect(server.output).not.toMatch(/m4rkToken|M4RKDEVICE/);
  });

  it('reports conflicts in the database and deleted keys, besides the request', async () => {
    await start();
    await send('POST', '/version', { algorithm: ALGORITHM, auth_data: {} });
    const some = Array.from({ length: 600 }, (_, n) => [ROOM, `s${n}`, KEY] as const);
    await send('PUT', '/keys?version=1', roomsBody(some));
    await send('DELETE', '/keys?version=1');
    expect(await server.line(({ rows }) => rows === 600)).toMatchObject({
      level: 'info',
      context: 'Sweep',
      message: 'Removed 600 rows of deleted keys',
      sets: 1,
      backlog: 0,
    });
    if (name !== 'SQLite') {
      await send('PUT', '/keys?version=1', roomsBody([[ROOM, 'one', KEY]]));
      const better = roomsBody([[ROOM, 'one', { ...KEY, is_verified: true }]]);
      const { id, status } = await asVictim(database, () => send('PUT', '/keys?version=1', better));
      expect(status).toBe(200);
      expect(await server.line(({ context }) => context === 'Conflict')).toMatchObject({
        level: 'info',
        code: name === 'PostgreSQL' ? '40P01' : 'ER_LOCK_DEADLOCK',
        attempt: 1,
        requestId: id,
      });
    }
    await server.stop();
    expect(server.output).not.toMatch(MARK);
  });
});

describe('the log of a server', () => {
  let server: ServerProcess;
  const variables = { DATABASE_URL: 'sqlite::memory:', DEV_TOKENS: `${TOKEN}=${USER}` };
  const start = async (more: Record<string, string> = {}) => {
    server = new ServerProcess({ ...variables, ...more });
    return server.serving();
  };
  afterEach(() => server.stop('SIGKILL'));

  it.each([
    ['of digits', '4bf92f3577b34da6a3ce929d0e0e4736', true],
    ['of a UUID', '4bf92f35-77b3-4da6-a3ce-929d0e0e4736', true],
    ['of base64', 'S/9+a8==', true],
    ['that is empty', '', false],
    ['that is too long', 'a'.repeat(129), false],
    ['with spaces', 'a b', false],
    ['with quotes', 'a"b', false],
    ['of two', 'a, b', false],
  ])('takes a request id %s from the proxy, or makes one: %s', async (_, given, taken) => {
    const { url } = await start();
    const answer = await fetch(`${url}${API}/version`, { headers: { 'X-Request-Id': given } });
    const id = answer.headers.get('x-request-id');
    if (taken) expect(id).toBe(given);
    else expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[\da-f]{4}-[\da-f]{12}$/);
    await server.line(({ requestId, context }) => requestId === id && context === 'Request');
    // the contract's headers, and no others that a browser would hand on
    expect(answer.headers.get('access-control-allow-headers')).not.toContain('X-Request-Id');
  });

  it('gives the id back with what the server answers itself', async () => {
    const { url } = await start();
    for (const path of ['/health/live', '/docs', `${API}/nothing`, '/nothing'])
      expect((await fetch(url + path)).headers.get('x-request-id')).toMatch(/^[\da-f-]{36}$/);
  });

  it('is as loud as LOG_LEVEL says', async () => {
    const { url } = await start({ LOG_LEVEL: 'debug' });
    await fetch(`${url}/health/ready`);
    await server.line(({ path, level }) => path === '/health/ready' && level === 'debug');
    await server.stop();
    await start({ LOG_LEVEL: 'info' }).then(async ({ url: at }) => {
      await fetch(`${at}/health/ready`);
      await fetch(`${at}/`, { redirect: 'manual' });
    });
    await server.line(({ path }) => path === '/');
    await server.stop();
    expect(server.lines.map(({ level }) => level)).not.toContain('debug');
    server = new ServerProcess({ ...variables, LOG_LEVEL: 'warn', PORT: 'x' });
    expect(await server.ended()).toBe(1);
  });

  it('has the warnings of Node and the error that ends the process, without what they carry', async () => {
    const fault =
      'process.on("SIGWINCH", () => { process.emitWarning("careful"); setTimeout(() => { throw Object.assign(new Error("broken"), { sql: ["m4", "rk"].join("") }); }); });';
    await start({ NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(fault)}` });
    server.kill('SIGWINCH');
    expect(await server.ended()).toBe(1);
    expect(server.lines.at(-2)).toMatchObject({ level: 'warn', context: 'Node' });
    expect(server.lines.at(-2)?.message).toContain('Warning: careful');
    expect(server.lines.at(-1)).toMatchObject({ level: 'fatal', context: 'Server' });
    expect(server.lines.at(-1)?.message).toMatch(/^Error: broken\n\s+at /);
    expect(server.output).not.toMatch(MARK);
  });

  it('says in JSON why a server does not start', async () => {
    server = new ServerProcess({ ...variables, PORT: 'eighty' });
    expect(await server.ended()).toBe(1);
    expect(server.lines).toEqual([
      expect.objectContaining({
        level: 'fatal',
        message: expect.stringMatching(/^PORT is 'eighty'\. Set /),
      }),
    ]);
    server = new ServerProcess({ ...variables, LOG_FORMAT: 'xml' });
    expect(await server.ended()).toBe(1);
    expect(server.lines[0]?.message).toBe("LOG_FORMAT is 'xml'. Set 'json' or 'text'.");
  });

  it('says it once where Nest would say it too, and has the cause for who looks into it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'room-keys-log-'));
    const file = join(folder, 'text.db');
    await writeFile(file, 'no database'.repeat(100));
    const told = {
      level: 'fatal',
      message: 'The file in DATABASE_URL is not a SQLite database. Set the path of another file.',
    };
    server = new ServerProcess({ ...variables, DATABASE_URL: `sqlite:${file}` });
    expect(await server.ended()).toBe(1);
    expect(server.lines).toEqual([expect.objectContaining(told)]);
    server = new ServerProcess({ DATABASE_URL: `sqlite:${file}`, LOG_LEVEL: 'debug' });
    expect(await server.ended()).toBe(1);
    const cause = expect.stringMatching(/file is not a database\n\s+at /) as string;
    expect(server.lines.filter(({ level }) => level !== 'fatal')).toContainEqual(
      expect.objectContaining({ level: 'debug', message: cause }),
    );
    expect(server.lines.at(-1)).toMatchObject(told);
    await rm(folder, { recursive: true });
  });

  it('holds a token that was made up only where no file keeps it', async () => {
    server = new ServerProcess({ DATABASE_URL: 'sqlite::memory:' });
    const { url, developmentToken } = (await server.serving()) as {
      url: string;
      developmentToken?: string;
    };
    const answer = await fetch(`${url}${API}/version`, {
      headers: { Authorization: `Bearer ${developmentToken}` },
    });
    expect(answer.status).toBe(404);
    await server.stop();
    const file = await databases[0]!.create();
    server = new ServerProcess({ DATABASE_URL: file.url });
    expect(await server.serving()).toMatchObject({
      developmentTokenFile: expect.stringMatching(/development-token$/),
    });
    expect(server.output).not.toContain('"developmentToken"');
    await server.stop();
    await file.drop();
  });

  it('can be text, of the same lines', async () => {
    server = new ServerProcess({ ...variables, LOG_FORMAT: 'text', LOG_LEVEL: 'debug' });
    await server.said('Key backup API');
    const [, url = ''] = /(http:\/\/[^/]+)\/_matrix/.exec(server.output) ?? [];
    await fetch(`${url}${API}/keys/m4rk/m4rk/m4rk`, { headers: { 'X-Request-Id': 'abc' } });
    await server.said('requestId=abc');
    expect(server.output).toMatch(
      /^\S+Z INFO {2}\[Request\] GET \/_matrix\/client\/v3\/room_keys\/keys\/\*\/\*\/\* 404 requestId=abc method=GET path=\S+ status=404 durationMs=[\d.]+ requestBytes=0 responseBytes=\d+$/m,
    );
    expect(server.output).not.toMatch(/\p{Cc}\[|m4rk/u);
  });
});

/** Changes the database behind the server's back. */
async function sabotage({ dataSourceOptions }: TestDatabase, statement: string): Promise<void> {
  const dataSource = await new DataSource(dataSourceOptions).initialize();
  try {
    await query(dataSource, statement);
  } finally {
    await dataSource.destroy();
  }
}

const hex = (text: string) => `X'${Buffer.from(text).toString('hex')}'`;
