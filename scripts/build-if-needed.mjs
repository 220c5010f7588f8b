// Builds dist/ when it is missing or older than what it is made of: `npm start` never runs old code.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const built = changed('dist/main.js');
// Folders count too: their time moves when a file in them is deleted or renamed.
const sources = [
  'package.json',
  'nest-cli.json',
  ...readdirSync('.').filter((name) => /^tsconfig.*\.json$/.test(name)),
  'src',
  ...(existsSync('src')
    ? readdirSync('src', { recursive: true }).map((name) => join('src', name))
    : []),
];
// A container image may carry dist/ alone: without sources there is nothing to build from.
const upToDate =
  built > 0 && (!existsSync('src') || sources.every((path) => changed(path) <= built));

if (!upToDate) {
  console.log(
    built > 0 ? 'dist/ is older than the sources: building' : 'dist/ is missing: building',
  );
  const nest = createRequire(import.meta.url).resolve('@nestjs/cli/bin/nest.js');
  const { status } = spawnSync(process.execPath, [nest, 'build'], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
}

function changed(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
