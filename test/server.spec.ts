/**
 * Proves the standalone server as an operator meets it, as a process of its own: what it says when
 * it starts, that the session it prints works as pasted, how it stops, and what it refuses to start with.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '..');
const main = join(root, 'dist/main.js');

describe('the standalone server', () => {
  let folder: string;
  const running: ChildProcess[] = [];

  beforeAll(async () => {
    await run(process.execPath, [join(root, 'scripts/build-if-needed.mjs')], { cwd: root });
  }, 120_000);
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'room-keys-server-'));
  });
  afterEach(async () => {
    for (const child of running.splice(0)) {
      if (child.exitCode === null && child.kill('SIGKILL')) await once(child, 'exit');
    }
    await rm(folder, { recursive: true, force: true });
  });

  const launch = (variables: Record<string, string> = {}) => {
    const { PATH } = process.env;
    const child = spawn(process.execPath, [main], {
      cwd: folder,
      env: { ...(PATH === undefined ? {} : { PATH }), PORT: '0', ...variables },
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
    while (!output.out.includes('Database')) {
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

  it('finishes a request that is under way when it is told to stop, and takes no more', async () => {
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

  it('answers a path that is nobody’s as Matrix does', async () => {
    const { url } = await start();
    const answer = await fetch(`${url}/_matrix/client/v3/sync`);
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({ errcode: 'M_UNRECOGNIZED' });
  });

  it.each([
    [
      { PORT: 'eighty' },
      /^PORT is 'eighty': write a whole number from 0 to 65535, such as 8090\.$/,
    ],
    [{ DATABASE_URL: 'postgres://x:secret@h/d' }, /^DATABASE_URL begins with 'postgres:': write /],
    [{ HOST: '0.0.0.0' }, /^HOST is '0\.0\.0\.0'.*: write /],
    [{ DEV_TOKENS: 'secret' }, /^DEV_TOKENS .*: write 'token=@user:server'/],
    [{ MAX_BODY_BYTES: '-1' }, /^MAX_BODY_BYTES is '-1': write /],
  ])(
    'does not start with %j, and says in one sentence what to write',
    async (variables, message) => {
      const { child, output } = launch(variables);
      const [code] = (await once(child, 'exit')) as [number | null];
      expect(code).toBe(1);
      expect(output.err.trim()).toMatch(message);
      expect(output.err.trim().split('\n')).toHaveLength(1);
      expect(output.err).not.toContain('secret');
    },
  );

  it('says in one sentence that its port is taken', async () => {
    const { url } = await start();
    const { child, output } = launch({ PORT: new URL(url).port });
    const [code] = (await once(child, 'exit')) as [number | null];
    expect(code).toBe(1);
    expect(output.err.trim()).toMatch(/^PORT \d+ .*: write /);
    expect(output.err.trim().split('\n')).toHaveLength(1);
  });
});
