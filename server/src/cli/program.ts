import { Command, CommanderError } from 'commander';
import { startFailure } from '../start-failure.js';
import { version } from '../version.js';
import { addClosedAccounts } from './closed-accounts.command.js';
import { addExport } from './export.command.js';
import { addImport } from './import.command.js';
import { addMigrate } from './migrate.command.js';
import { EXIT, Failure } from './output.js';
import { addServe } from './serve.command.js';
import { addStats } from './stats.command.js';
import { addSweep } from './sweep.command.js';
import { addToken } from './token.command.js';
import { addUser } from './user.command.js';
import { addVerify } from './verify.command.js';

const COMMANDS = [
  addServe,
  addMigrate,
  addStats,
  addUser,
  addClosedAccounts,
  addSweep,
  addVerify,
  addImport,
  addExport,
  addToken,
];

/** All commands; each parses its own options, and imports what it needs when it is called. */
function program(): Command {
  const root = new Command('room-keys-server')
    .description("Matrix's server-side key backup: the server and its maintenance commands.")
    .version(version)
    .exitOverride()
    // `user restore --version` is another one
    .enablePositionalOptions()
    .showHelpAfterError('(--help lists the options)')
    .addHelpText(
      'after',
      `
Commands use the server's database: DATABASE_URL and DATABASE_PASSWORD_FILE, or --database.

Exit codes: 0 done, 1 failed or found something, 2 wrong usage, 130 or 143 interrupted by SIGINT or SIGTERM.

Examples:
  $ room-keys-server serve
  $ room-keys-server stats --database sqlite:data/room-keys.db
  $ DATABASE_URL=mysql://room_keys@db/room_keys DATABASE_PASSWORD_FILE=/run/secrets/mysql room-keys-server verify`,
    );
  for (const add of COMMANDS) add(root);
  return root;
}

/**
 * Runs the command that the arguments name.
 *
 * @returns the exit code; undefined where the process is to go on, as a server does
 */
export async function run(args: readonly string[]): Promise<number | undefined> {
  const root = program();
  try {
    await root.parseAsync(args, { from: 'user' });
    return typeof process.exitCode === 'number' ? process.exitCode : undefined;
  } catch (error) {
    // Commander has said what is wrong; help and version come this way too, with 0
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    const message = error instanceof Failure ? error.message : startFailure(error, process.env);
    const option = args.some((word) => word.startsWith('--database'));
    process.stderr.write(
      `${option ? message.replaceAll('DATABASE_URL', '--database') : message}\n`,
    );
    return error instanceof Failure ? error.exitCode : EXIT.failed;
  }
}
