import cluster from 'node:cluster';
import { readEnvironment, type Variables } from './environment.js';
import { checkConfig, settingsHelp } from './settings-text.js';
import { startFailure } from './start-failure.js';

const USAGE = `Matrix's server-side key backup, as a standalone server.

npm start                    start the server
npm start -- --help          list the settings
npm start -- --check-config  check whether it would start with the current settings
`;

/**
 * Runs the command line: starts the server, or lists or checks its settings.
 *
 * @param args the arguments after the name of the program
 * @param onReady called when the server stops by itself on SIGTERM and SIGINT from there on
 */
export async function run(
  args: readonly string[],
  variables: Variables,
  onReady: () => void,
): Promise<void> {
  const [argument, ...more] = args;
  if (argument === undefined) {
    await serve(variables, onReady);
  } else if (argument === '--help' && more.length === 0) {
    process.stdout.write(`${USAGE}\n${settingsHelp()}`);
  } else if (argument === '--check-config' && more.length === 0) {
    printCheck(variables);
  } else {
    process.stderr.write(`${args.join(' ')} is not an option. Use --help or --check-config.\n`);
    process.exitCode = 2;
  }
}

/** The outcome of {@link checkConfig}, with exit code 1 for settings that the server would not start with. */
export function printCheck(variables: Variables): void {
  try {
    process.stdout.write(checkConfig(variables));
  } catch (error) {
    process.stderr.write(`${startFailure(error, variables)}\n`);
    process.exitCode = 1;
  }
}

/**
 * Starts the standalone server: in this process, or in as many as `WORKERS` says, with this one above
 * them.
 *
 * @param onReady called when the server stops by itself on SIGTERM and SIGINT from there on
 */
export async function serve(variables: Variables, onReady: () => void): Promise<void> {
  // none is loaded before it is needed: the primary does without Nest
  if (cluster.isWorker) {
    const { startWorker } = await import('./workers/start-worker.js');
    await startWorker(variables, onReady);
  } else if (workersOf(variables) === 1) {
    const { start } = await import('./start.js');
    await start(variables, onReady);
  } else {
    const { startWorkers } = await import('./workers/start-workers.js');
    await startWorkers(variables, onReady);
  }
}

function workersOf(variables: Variables): number {
  try {
    return readEnvironment(variables).workers;
  } catch {
    // invalid settings are reported by the process that starts with them
    return 1;
  }
}
