// Starts the built server from what the image will contain, waits until it is ready, and stops it.
// The Dockerfile runs this as the last step of its build; it works in a checkout after a build too.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const PORT = '18090';
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 10_000;

// TypeORM loads this driver only for a DATABASE_URL of its kind, which the SQLite one below is not.
await import('mysql2');

const folder = mkdtempSync(join(tmpdir(), 'room-keys-smoke-'));
const server = spawn(
  process.execPath,
  [
    '--enable-source-maps',
    '--max-semi-space-size=4',
    '--heap-growing-percent=40',
    'server/dist/main.js',
  ],
  {
    stdio: 'inherit',
    env: {
      ...process.env,
      NODE_ENV: 'production',
      // Only on loopback does the server make up a token of its own.
      HOST: '127.0.0.1',
      PORT,
      DATABASE_URL: `sqlite:${join(folder, 'room-keys.db')}`,
    },
  },
);
const ended = once(server, 'exit');

try {
  const startBy = Date.now() + START_LIMIT_MS;
  while (!(await isReady())) {
    if (server.exitCode !== null || server.signalCode !== null) fail('stopped before it was ready');
    if (Date.now() > startBy) fail(`was not ready after ${START_LIMIT_MS} ms`);
    await pause(100);
  }

  server.kill('SIGTERM');
  const end = await Promise.race([ended, pause(STOP_LIMIT_MS, undefined, { ref: false })]);
  if (!end) fail(`was still running ${STOP_LIMIT_MS} ms after SIGTERM`);
  const [code, signal] = end;
  // Exit code 0, not death by the signal: the kernel keeps that from process 1, which it is in the image.
  if (code !== 0) fail(`answered SIGTERM with ${signal ?? `exit code ${code}`}`);
  console.log('The server starts, is ready, and stops on request.');
} finally {
  server.kill('SIGKILL');
  await ended;
  rmSync(folder, { recursive: true, force: true });
}

async function isReady() {
  try {
    return (await globalThis.fetch(`http://127.0.0.1:${PORT}/health/ready`)).ok;
  } catch {
    return false;
  }
}

function fail(what) {
  throw new Error(`The server ${what}.`);
}
