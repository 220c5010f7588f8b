// Runs once, before all test files: finds the databases, and tells the test files through the
// environment. Plain JavaScript, because Jest loads it outside the machinery that compiles the tests.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findServer, kinds, stopServers } from './servers.mjs';

export default async function globalSetup() {
  const required = requiredDatabases();
  const run = {
    folder: mkdtempSync(join(tmpdir(), 'room-keys-test-')),
    prefix: `room_keys_test_${randomBytes(4).toString('hex')}_`,
  };
  // All start at the same time: each needs a few seconds, mostly spent waiting.
  const found = await Promise.allSettled(
    kinds.map((kind) => findServer(kind, run.folder, required.includes(kind.id))),
  );
  const failed = found.filter(({ status }) => status === 'rejected');
  if (failed.length > 0) {
    await stopServers();
    rmSync(run.folder, { recursive: true, force: true });
    throw new Error(failed.map(({ reason }) => reason.message).join('\n'));
  }
  kinds.forEach((kind, index) => (run[kind.id] = found[index].value));
  process.env.ROOM_KEYS_TEST_RUN = JSON.stringify(run);
}

/** CI lacks none, unless REQUIRE_DATABASES names fewer; elsewhere a missing one is left out. */
function requiredDatabases() {
  const known = ['sqlite', ...kinds.map(({ id }) => id)];
  const named = process.env.REQUIRE_DATABASES;
  if (named === undefined) return process.env.CI ? known : [];
  const required = named.split(',').map((id) => id.trim());
  const unknown = required.filter((id) => !known.includes(id));
  if (unknown.length > 0) {
    throw new Error(`REQUIRE_DATABASES: "${unknown.join()}" is none of ${known.join(', ')}`);
  }
  return required;
}
