// What a host with the key backup should prove of itself: its users have their backups with the tokens
// that it gave them, and its own routes are as they were.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { createApplication } from './application.js';

const MATRIX = '/_matrix/client';
const KEYS = `${MATRIX}/v3/room_keys`;

let folder: string;
let app: NestExpressApplication;
let url: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'homeserver-'));
  app = await createApplication({
    databaseUrl: `sqlite:${join(folder, 'homeserver.db')}`,
    serverName: 'localhost',
    adminToken: 'admin',
    port: 0,
  });
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as AddressInfo;
  url = `http://127.0.0.1:${port}`;
});

after(async () => {
  await app.close();
  await rm(folder, { recursive: true });
});

interface Answer {
  status: number;
  /** The tests assert what it is. */
  body: Record<string, unknown>;
}

async function send(method: string, path: string, token?: string, body?: object): Promise<Answer> {
  const response = await fetch(url + path, {
    method,
    headers: {
      'Content-Type': 'application/json',
      ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
    },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}

async function register(username: string): Promise<string> {
  const { body } = await send('POST', `${MATRIX}/v3/register`, undefined, {
    username,
    password: 'wonderland',
    auth: { type: 'm.login.dummy' },
  });
  return body.access_token as string;
}

/** A batch as clients send it, of more than the 100 kB that Nest takes by itself. */
function batch(): object {
  const key = {
    first_message_index: 0,
    forwarded_count: 0,
    is_verified: false,
    session_data: { ciphertext: 'x'.repeat(1500) },
  };
  const sessions = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`session/${n}`, key]));
  return { rooms: { '!room:localhost': { sessions } } };
}

async function backUp(token: string): Promise<object> {
  const backup = { algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2', auth_data: {} };
  assert.deepEqual(await send('POST', `${KEYS}/version`, token, backup), {
    status: 200,
    body: { version: '1' },
  });
  const keys = batch();
  const { status, body } = await send('PUT', `${KEYS}/keys?version=1`, token, keys);
  assert.deepEqual([status, body.count], [200, 100]);
  return keys;
}

test('a user backs keys up and restores them, with the token that registering gave', async () => {
  const token = await register('alice');
  const keys = await backUp(token);
  assert.deepEqual(await send('GET', `${KEYS}/keys?version=1`, token), { status: 200, body: keys });
});

test('a token that has logged out is of no use for the backup', async () => {
  const token = await register('bob');
  await send('POST', `${MATRIX}/v3/logout`, token, {});
  const { status, body } = await send('GET', `${KEYS}/version`, token);
  assert.deepEqual([status, body.errcode], [401, 'M_UNKNOWN_TOKEN']);
});

test('who deactivates the account leaves no keys behind', async () => {
  const token = await register('carol');
  await backUp(token);
  const auth = { type: 'm.login.password', password: 'wonderland' };
  assert.equal(
    (await send('POST', `${MATRIX}/v3/account/deactivate`, token, { auth })).status,
    200,
  );
  const { body } = await send('GET', '/admin/users/@carol:localhost', 'admin');
  const { keys } = body.data as { keys: { count: number; backups: object[] } };
  assert.deepEqual([keys.count, keys.backups], [0, []]);
});

test('its own routes keep their prefix, their envelope and their errors', async () => {
  assert.ok('data' in (await send('GET', '/admin/users', 'admin')).body);
  assert.deepEqual((await send('GET', '/admin/users', 'guess')).body.status, 401);
});

test('one document lists its own operations and those of the key backup', async () => {
  const { body } = await send('GET', '/docs-json');
  const paths = Object.keys(body.paths as object);
  assert.ok(paths.includes('/admin/users/{userId}'));
  assert.ok(paths.includes(`${MATRIX}/v3/login`));
  assert.ok(paths.includes(`${KEYS}/keys/{roomId}/{sessionId}`));
});
