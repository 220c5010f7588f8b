// Runs all suites, and ends with the line `N passed, N failed`.
//
// A suite about the programs around this one (a browser, proxies, a homeserver, npm, systemd) shares two cores
// with all others, and with their servers. Where a few of those fail, they are run once more, alone, after
// the rest; one that passes then is told by its name, with what it had failed with: it is unsteady, and
// to be mended. Suites about what is stored and answered have one try: what fails there once has failed.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SECOND_TRY =
  /^(?:server\/)?test\/(?:browser|cli|client|homeserver|operating|package|proxy|redis)\/|^(?:server\/)?test\/[^/]+$/;
const FEW = 3;

const folder = mkdtempSync(join(tmpdir(), 'room-keys-ci-'));
try {
  const first = run('first.json');
  const failed = failedSuites(first);
  let { status } = first;
  let passed = first.numPassedTests;
  let failures = first.numFailedTests + first.numRuntimeErrorTestSuites;
  const mayBeUnsteady = failed.length <= FEW && failed.every(({ file }) => SECOND_TRY.test(file));
  if (failed.length > 0 && mayBeUnsteady) {
    const files = failed.map(({ file }) => file);
    console.log(`\n==> once more, alone: ${files.join(', ')}`);
    const second = run('second.json', '--runInBand', '--runTestsByPath', ...files);
    if (second.status === 0) {
      for (const { file, message } of failed) console.log(`\nUNSTEADY ${file}\n${message}`);
      ({ status } = second);
      passed += second.numPassedTests - failed.reduce((sum, suite) => sum + suite.passed, 0);
      failures = 0;
    }
  }
  console.log(`\n${passed} passed, ${failures} failed`);
  process.exitCode = status === 0 && failures === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** @returns Jest's report, and its exit code */
function run(report, ...args) {
  const path = join(folder, report);
  const { status } = spawnSync('npm', ['test', '--', '--json', `--outputFile=${path}`, ...args], {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return { ...JSON.parse(readFileSync(path, 'utf8')), status };
}

function failedSuites({ testResults }) {
  return testResults
    .filter(({ status }) => status === 'failed')
    .map(({ name, message, assertionResults }) => ({
      file: relative(ROOT, name),
      message,
      passed: assertionResults.filter(({ status }) => status === 'passed').length,
    }));
}
