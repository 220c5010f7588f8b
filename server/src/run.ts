import type { Variables } from './environment.js';
import { serve } from './serve.js';
import { checkConfig, settingsHelp } from './settings-text.js';
import { startFailure } from './start-failure.js';

const USAGE = `Matrix's server-side key backup, as a server of its own.

npm start                    starts it
npm start -- --help          lists its settings
npm start -- --check-config  checks whether it would start with the current ones
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
