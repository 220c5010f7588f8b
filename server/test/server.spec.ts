/**
 * Proves the standalone server as an operator meets it, as a process of its own: what it says when
 * it starts, that the session it prints works as pasted, how it stops, and what it refuses to start with.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../..');
const main = join(root, 'server/dist/main.js');

describe('the standalone server', () => {
  let folder: string;
  const running: ChildProcess[] = [];

  beforeAll(async () => {
    await run(process.execPath, [join(root, 'scripts/build-if-needed.mjs')], { cwd: root });
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'room-keys-server-'));
  });
  afterEach(async () => {
    for (const child of running.splice(0)) {
      if (child.exitCode === null && child.kill('SIGKILL')) await once(child, 'exit');
    }
    await rm(folder, { recursive: true, force: true });
  });

  const launch = (variables: Record<string, string> = {}, ...args: string[]) => {
    const { PATH } = process.env;
    const child = spawn(process.execPath, [main, ...args], {
      cwd: folder,
      // as it is on a terminal, which a pipe is not
      env: { ...(PATH === undefined ? {} : { PATH }), PORT: '0', LOG_FORMAT: 'text', ...variables },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.push(child);
    const output = { out: '', err: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output.out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output.err += text));
    return { child, output };
  };
  const start = async (variables: Record<string, string> = {}) => {
    const { child, output } = launch(variables);
    while (!/^Access token/m.test(output.out)) {
      await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
      if (child.exitCode !== null) throw new Error(`It ended: ${output.err}`);
    }
    const [, url = ''] = /(http:\/\/\S+)\/_matrix/.exec(output.out) ?? [];
    return { child, output, url };
  };
  const stop = async (child: ChildProcess) => {
    child.kill('SIGTERM');
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
    return code ?? signal;
  };

  it('serves without any configuration, and says where', async () => {
    const { child, output, url } = await start();
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(output.out).toContain(`${url}/docs`);
    expect((await fetch(`${url}/docs`)).headers.get('content-type')).toMatch(/html/);
    expect(await (await fetch(`${url}/docs-json`)).json()).toMatchObject({ openapi: '3.1.0' });
    expect((await fetch(`${url}/health/live`)).status).toBe(200);
    expect((await fetch(`${url}/health/ready`)).status).toBe(200);
    await stop(child);
    expect(output.err).toBe('');
  });

  it('prints a session that works as pasted', async () => {
    const { output } = await start();
    const session = output.out.slice(output.out.indexOf('V=$('));
    const { stdout } = await run('bash', ['-euo', 'pipefail', '-c', session]);
    expect(stdout).toContain('{"count":1,"etag":"1"}');
    expect(await readFile(join(folder, 'data/development-token'), 'utf8')).toMatch(/^[\w-]{32}\n$/);
    expect(stdout).toContain('"session1":{"first_message_index":0');
  });

  it('lets no other user of the machine read what it keeps', async () => {
    const modes = async (files: readonly string[]) => {
      const stats = await Promise.all(files.map((file) => stat(join(folder, file))));
      return stats.map(({ mode }) => (mode & 0o777).toString(8));
    };
    await start();
    const files = ['development-token', 'room-keys.db', 'room-keys.db-shm', 'room-keys.db-wal'];
    expect((await readdir(join(folder, 'data'))).sort()).toEqual(files);
    expect(await modes(files.map((file) => join('data', file)))).toEqual(Array(4).fill('600'));
    await start({ DATABASE_URL: `sqlite:${folder}/new/keys.db` });
    expect(await modes(['new/keys.db', 'new/keys.db-wal'])).toEqual(['600', '600']);
    // with an explicit mode
    await writeFile(join(folder, 'shared.db'), '', { mode: 0o640 });
    await start({ DATABASE_URL: 'sqlite:shared.db' });
    expect(await modes(['shared.db', 'shared.db-wal'])).toEqual(['640', '640']);
  });

  it('keeps what it stored when it starts again', async () => {
    const first = await start({ DEV_TOKENS: 'secret=@alice:hs1' });
    const headers = { Authorization: 'Bearer secret' };
    const path = '/_matrix/client/v3/room_keys/version';
    const body = JSON.stringify({
      algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2',
      auth_data: {},
    });
    expect((await fetch(first.url + path, { method: 'POST', headers, body })).status).toBe(200);
    await stop(first.child);
    const second = await start({ DEV_TOKENS: 'secret=@alice:hs1' });
    expect(await (await fetch(second.url + path, { headers })).json()).toMatchObject({
      version: '1',
    });
    expect(second.output.out).not.toContain('secret');
  });

  it('finishes a running request on SIGTERM, and accepts no more', async () => {
    const { child, url } = await start({ DEV_TOKENS: 'secret=@alice:hs1' });
    const { hostname, port } = new URL(url);
    const body = JSON.stringify({
      algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2',
      auth_data: {},
    });
    const socket = connect(Number(port), hostname);
    let answer = '';
    socket.setEncoding('utf8').on('data', (text: string) => (answer += text));
    socket.write(
      'POST /_matrix/client/v3/room_keys/version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n' +
        `Expect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    // the server has the request: it is asked for the body
    while (!answer.includes('100 Continue')) await once(socket, 'data');
    child.kill('SIGTERM');
    const refused = async () => {
      const probe = connect(Number(port), hostname);
      const [event] = await Promise.race([
        once(probe, 'connect').then(() => ['connect']),
        once(probe, 'error').then(() => ['error']),
      ]).catch(() => ['error']);
      probe.destroy();
      return event === 'error';
    };
    while (!(await refused()));
    socket.write(body);
    const [code] = (await once(child, 'exit')) as [number | null];
    expect(answer).toContain('{"version":"1"}');
    expect(code).toBe(0);
  });

  it('ends at once when it is interrupted again', async () => {
    const { child, url } = await start({ DEV_TOKENS: 'secret=@alice:hs1' });
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname).on('error', () => undefined);
    let answer = '';
    socket.setEncoding('utf8').on('data', (text: string) => (answer += text));
    socket.write(
      'POST /_matrix/client/v3/room_keys/version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n' +
        'Expect: 100-continue\r\nContent-Length: 99\r\n\r\n',
    );
    while (!answer.includes('100 Continue')) await once(socket, 'data');
    child.kill('SIGINT');
    await once(child.stdout, 'data'); // that it is stopping
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([130, null]);
  });

  it.each([
    ['a target with a space', 'GET /a b HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    ['a method that there is not', 'FOO /a HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    ['headers without an end', `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431],
  ])('answers %s as Matrix does, although it is no HTTP', async (_, request, status) => {
    const { url } = await start();
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    let answer = '';
    socket.setEncoding('utf8').on('data', (text: string) => (answer += text));
    socket.write(request);
    await once(socket, 'close');
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(answer).toContain('Access-Control-Allow-Origin: *');
    expect(JSON.parse(answer.slice(answer.indexOf('{')))).toMatchObject({
      errcode: expect.stringMatching(/^M_/) as string,
      error: expect.any(String) as string,
    });
  });

  it('logs no user out behind a proxy without token verification', async () => {
    const { url } = await start({ DEV_TOKENS: 'secret=@alice:hs1' });
    const call = async (token: string, more: Record<string, string> = {}) => {
      const headers = { Authorization: `Bearer ${token}`, ...more };
      const path = '/_matrix/client/v3/room_keys/version';
      const { status, headers: answered } = await fetch(url + path, { headers });
      return [status, answered.has('retry-after')];
    };
    expect(await call('another')).toEqual([401, false]);
    expect(await call('another', { 'X-Forwarded-For': '192.0.2.7' })).toEqual([503, true]);
    expect(await call('another', { Forwarded: 'for=192.0.2.7' })).toEqual([503, true]);
    expect(await call('secret', { 'X-Forwarded-For': '192.0.2.7' })).toEqual([404, false]);
  });

  it('answers an unknown path as Matrix does', async () => {
    const { url } = await start();
    const answer = await fetch(`${url}/_matrix/client/v3/sync`);
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({ errcode: 'M_UNRECOGNIZED' });
  });

  it('starts beside a variable that resembles a setting, and remarks on it', async () => {
    const { child, output } = await start({ TOKEN_CACHE_TTL: '30' });
    await stop(child);
    expect(output.err).toBe(
      'TOKEN_CACHE_TTL is not a setting and is ignored. Settings with similar names: TOKEN_CACHE_TTL_MS, TOKEN_CACHE_MAX.\n',
    );
  });

  it.each([
    [
      '--help',
      {},
      0,
      /^MAX_BODY_BYTES\n {2}maximum size of a request body.*\n {2}default: 16777216\n/m,
      /^$/,
    ],
    ['--check-config', { DEV_TOKENS: 'hunter2=@a:b' }, 0, /DEV_TOKENS=… \(not shown\)/, /^$/],
    [
      '--check-config',
      { DATABSE_URL: 'secret' },
      1,
      /^$/,
      /^DATABSE_URL is not a setting\. Set .*\.\n$/,
    ],
    ['--hlep', {}, 2, /^$/, /^--hlep is not an option\. Use --help or --check-config\.\n$/],
  ])('answers %s, with %j set, and does not start', async (argument, variables, exit, out, err) => {
    const { child, output } = launch(variables, argument);
    const [code] = (await once(child, 'close')) as [number | null];
    expect(output.out).toMatch(out);
    expect(output.err).toMatch(err);
    expect(output.out + output.err).not.toContain('hunter2');
    expect(code).toBe(exit);
    expect(await readdir(folder)).toEqual([]);
  });

  it.each([
    [
      { PORT: 'eighty' },
      /^PORT is 'eighty'\. Set a whole number from 0 to 65535, for example 8090\.$/,
    ],
    [
      { DATABASE_URL: 'oracle://x:secret@h/d' },
      /^DATABASE_URL begins with 'oracle:', which is not supported\. Set /,
    ],
    [{ HOST: '0.0.0.0' }, /^HOST is '0\.0\.0\.0'.*\. Set /],
    [{ DEV_TOKENS: 'secret' }, /^DEV_TOKENS .*\. Set 'token=@user:server'/],
    [{ MAX_BODY_BYTES: '-1' }, /^MAX_BODY_BYTES is '-1'\. Set /],
    [{ LOG_LEVEL: 'loud' }, /^LOG_LEVEL is 'loud'\. Set 'fatal', .* or 'debug'\.$/],
    [{ METRICS_HOST: '10.0.0.5' }, /^METRICS_HOST has no effect without METRICS_PORT\. Set /],
    [{ DATABSE_URL: 'mysql://x:secret@h/d' }, /^DATABSE_URL is not a setting\. Set DATABASE_URL/],
    [
      { DATABASE_URL: 'mysql://x:secret%@h/d' },
      /^DATABASE_URL contains a '%' .*\. Replace it with '%25'/,
    ],
    [{ DATABASE_URL: 'mysql://x:secret@h/d?ssl=true' }, /^DATABASE_URL .*set DATABASE_TLS=/],
    [
      { DATABASE_TLS_CA: 'secret' },
      /^DATABASE_TLS_CA does not contain a certificate\. Set it to one in PEM/,
    ],
    [
      { DATABASE_TLS: 'verify-full', DATABASE_URL: 'mysql://x:secret@[::1]/d' },
      /^DATABASE_TLS=verify-full .*\. Set the host name/,
    ],
    [
      { RUN_MIGRATIONS: 'false' },
      /^The database lacks tables or columns\. Run 'npx room-keys-server/,
    ],
    [
      { HOST: 'nosuch.invalid', HOMESERVER_URL: 'http://127.0.0.1:1' },
      /^HOST nosuch\.invalid cannot be resolved\. Set .*HOST=127/,
    ],
    [
      { METRICS_HOST: 'nosuch.invalid', METRICS_PORT: '0' },
      /^METRICS_HOST nosuch\.invalid cannot be resolved\. Set .*METRICS_HOST=127/,
    ],
  ])('does not start with %j, and says in one line what to set', async (variables, message) => {
    const { child, output } = launch(variables);
    const [code] = (await once(child, 'exit')) as [number | null];
    expect(code).toBe(1);
    expect(output.err.trim()).toMatch(message);
    expect(output.err.trim().split('\n')).toHaveLength(1);
    expect(output.err).not.toContain('secret');
  });

  it('says in one sentence that its port is taken', async () => {
    const { url } = await start();
    const { child, output } = launch({ PORT: new URL(url).port });
    const [code] = (await once(child, 'exit')) as [number | null];
    expect(code).toBe(1);
    expect(output.err.trim()).toMatch(/^PORT \d+ .*\. Set /);
    expect(output.err.trim().split('\n')).toHaveLength(1);
  });

  it('names the folder that its database cannot be created in, and does not take it for a port', async () => {
    // stands for a folder that others own, which holds nobody up who is root
    const file = join(root, 'package.json');
    const { child, output } = launch({
      DATABASE_URL: `sqlite:${file}/data/k.db`,
      DEV_TOKENS: 't=@a:hs1',
    });
    const [code] = (await once(child, 'exit')) as [number | null];
    expect(code).toBe(1);
    expect(output.err).toMatch(
      /package\.json\/data cannot be created or opened \(ENOTDIR\)\. Check that the path in DATABASE_URL/m,
    );
  });

  it('says so of the port of its metrics too, and of an address that is none of the machine', async () => {
    const { url } = await start();
    for (const [variables, message] of [
      [{ METRICS_PORT: new URL(url).port }, /^METRICS_PORT \d+ is in use\. Set .*METRICS_PORT=/],
      [
        { METRICS_PORT: '0', METRICS_HOST: '203.0.113.1' },
        /^METRICS_HOST 203\.0\.113\.1 .*\. Set one, for example METRICS_HOST=/,
      ],
    ] as const) {
      const { child, output } = launch(variables);
      const [code] = (await once(child, 'exit')) as [number | null];
      expect(code).toBe(1);
      expect(output.err.trim()).toMatch(message);
      expect(output.err.trim().split('\n')).toHaveLength(1);
    }
  });
});
