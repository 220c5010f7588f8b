// Runs once, after all test files: nothing of the run stays behind.
import { rmSync } from 'node:fs';
import { kinds, stopServers } from './servers.mjs';

export default async function globalTeardown() {
  const run = JSON.parse(process.env.ROOM_KEYS_TEST_RUN);
  for (const kind of kinds) {
    if (process.env[kind.variable]) await kind.dropDatabases(run[kind.id], run.prefix);
  }
  await stopServers();
  rmSync(run.folder, { recursive: true, force: true });
}
