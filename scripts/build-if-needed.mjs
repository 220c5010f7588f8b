// Builds dist/ and server/dist/ when they are missing or older than what they are made of: `npm start` never runs old code.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

/** Holds the process id of who is building; that of one which is gone was left by a build that was killed. */
const LOCK = 'node_modules/.room-keys-build';

const BUILT = 'server/dist/main.js';

await buildIfNeeded();

async function buildIfNeeded() {
  if (upToDate()) return;
  // Two builds at once would delete each other's files, and those of a server that runs from them.
  while (!lock()) await sleep(100);
  try {
    if (!upToDate()) build();
  } finally {
    rmSync(LOCK, { force: true });
  }
}

function upToDate() {
  const built = changed(BUILT);
  // Folders count too: their time moves when a file in them is deleted or renamed.
  const sources = [
    'package.json',
    'nest-cli.json',
    ...readdirSync('.').filter((name) => /^tsconfig.*\.json$/.test(name)),
    'server/package.json',
    'server/tsconfig.build.json',
    ...['src', 'server/src'].flatMap((folder) => [
      folder,
      ...readdirSync(folder, { recursive: true }).map((name) => join(folder, name)),
    ]),
  ];
  return built > 0 && sources.every((path) => changed(path) <= built);
}

function build() {
  const old = existsSync(BUILT);
  console.log(old ? 'The build is older than the sources: building' : 'No build yet: building');
  const { status } = spawnSync('npm run -s build', { shell: true, stdio: 'inherit' });
  process.exitCode = status ?? 1;
}

function lock() {
  try {
    writeFileSync(LOCK, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    if (!isRunning(Number(readFileSync(LOCK, 'utf8')))) rmSync(LOCK, { force: true });
    return false;
  }
}

function isRunning(pid) {
  try {
    // between its creation and its writing the file is empty, and its maker is running
    return pid === 0 || process.kill(pid, 0);
  } catch {
    return false;
  }
}

function changed(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
