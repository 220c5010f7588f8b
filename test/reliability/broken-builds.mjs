// Proves the checkers themselves: breaks a copy of the code in one place, runs a suite on it, and
// wants to see it fail, with the words of the checker that the break is meant for.
//
//   npm run test:broken-builds            all of them, a minute or two each
//   npm run test:broken-builds -- etag    those whose name holds this
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AROUND } from '../../jest.config.js';
import { breaks } from './broken-builds.list.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Where npm links those of the workspace to. */
const OWN_PACKAGES = { 'nestjs-room-keys': '..', 'room-keys-server': '../server' };
const wanted = process.argv.slice(2);
const chosen = breaks.filter(
  ({ name }) => wanted.length === 0 || wanted.some((word) => name.includes(word)),
);

let missed = 0;
for (const { tries: most = 1, ...one } of chosen) {
  let tries = 0;
  let result;
  do result = tryBreak(one, ++tries);
  while (!result.caught && tries < most);
  if (!result.caught) missed += 1;
  const verdict = result.caught ? 'caught' : 'MISSED';
  console.log(
    `${verdict}  ${one.name}${tries > 1 ? `, ${tries} tries` : ''}\n        ${result.told}`,
  );
}
console.log(`${chosen.length - missed} passed, ${missed} failed`);
process.exitCode = missed > 0 || chosen.length === 0 ? 1 : 0;

function tryBreak({ file, code, broken, suite, title, words }, number) {
  const copy = mkdtempSync(join(tmpdir(), 'room-keys-broken-'));
  try {
    copyTo(copy);
    const path = join(copy, file);
    const source = readFileSync(path, 'utf8');
    if (source.split(code).length !== 2) return { told: `${file} does not hold once: ${code}` };
    writeFileSync(
      path,
      source.replace(code, () => broken),
    );
    const seed = process.env.RELIABILITY_SEED || String(number);
    const env = { ...process.env, CI: '', RELIABILITY_SEED: seed };
    const { status, stdout, stderr } = spawnSync(
      'npm',
      ['test', '--', ...configOf(suite), suite, ...(title ? ['-t', title] : [])],
      { cwd: copy, env, encoding: 'utf8', maxBuffer: 1e9 },
    );
    const line = (stdout + stderr).split('\n').find((text) => words.test(text));
    if (status !== 0 && line) return { caught: true, told: `${suite}: ${line.trim()}` };
    return {
      told:
        status === 0
          ? `${suite} passes`
          : `${suite} fails otherwise: ${(stderr || stdout).slice(-2000)}`,
    };
  } finally {
    rmSync(copy, { recursive: true, force: true, maxRetries: 10 });
  }
}

/** The configuration of Jest that has a suite. */
function configOf(suite) {
  const isAround = AROUND.some((pattern) => new RegExp(pattern).test(`/${suite}`));
  return isAround ? ['--config', 'jest.around.config.js'] : [];
}

/** The code as it lies here, committed or not. */
function copyTo(folder) {
  const { stdout } = spawnSync('git', ['ls-files', '-co', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  for (const file of stdout.split('\n').filter(Boolean)) {
    cpSync(join(ROOT, file), join(folder, file), { recursive: true });
  }
  // not the folder as a whole: the links in it to this project's own packages would lead back to the code that is whole
  const modules = join(folder, 'node_modules');
  mkdirSync(modules);
  for (const name of readdirSync(join(ROOT, 'node_modules'))) {
    symlinkSync(OWN_PACKAGES[name] ?? join(ROOT, 'node_modules', name), join(modules, name));
  }
}
