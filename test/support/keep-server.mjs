// Runs a throw-away database server for as long as the other end of its stdin is open.
//
//   node keep-server.mjs '{"run": "/tmp/…", "folder": "/tmp/…/x", "commands": [[…], […]], "stopSignal": "SIGKILL"}'
//
// However the test run ends - done, failed, Ctrl-C, kill -9 - the pipe closes with it, and this
// process kills the server and removes the folder of the run. No exit handler in the run itself
// could promise that.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';

const { run, folder, commands, stopSignal = 'SIGKILL' } = JSON.parse(process.argv[2]);
let running;
let ended = false;

process.stdin.resume().once('close', () => void end(run));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => void end(folder));

for (const [file, ...args] of commands) {
  if (ended) break;
  // A process group of its own: an install script has children, and all of them must go.
  // The server may run as a user without access to the folder of the tests.
  running = spawn(file, args, {
    cwd: run,
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true,
  });
  const [code] = await once(running, 'exit');
  if (code !== 0) break;
}
// Reached when a command failed, or when the server stopped unexpectedly.
await end(folder);

async function end(leftover) {
  if (ended) return;
  ended = true;
  if (running && running.exitCode === null && running.signalCode === null) {
    // Not asked politely: its data is thrown away with it.
    process.kill(-running.pid, stopSignal);
    await once(running, 'exit');
  }
  // The run may have a second server, whose keeper removes the same folder at the same moment.
  rmSync(leftover, { recursive: true, force: true, maxRetries: 10 });
  process.exit();
}
