/** The options and arguments that several commands have. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { lacksPassword } from '../database-url.js';
import type { Variables } from '../environment.js';

/** What {@link databaseOption} gives a command. */
export interface DatabaseOptions {
  database?: string;
}

/** `--database`, for the commands that work on the server's database. */
export const databaseOption = () =>
  new Option(
    '--database <url>',
    'sqlite:FILE, postgres://…, mysql://… or mariadb://…; overrides DATABASE_URL. DATABASE_PASSWORD still applies if the URL lacks only the password. Keep passwords in the file named by DATABASE_PASSWORD_FILE, because other users can see the arguments of a command',
  );

/** A command of the server's database. */
export function databaseCommand(parent: Command, nameAndArguments: string): Command {
  return parent.command(nameAndArguments).addOption(databaseOption());
}

/**
 * An option that must be there. Commander's own mandatory options are checked before unknown ones: a misspelt one
 * would be reported as missing, and not be named.
 */
export function requireOption(command: Command, flags: string, description: string): Command {
  const option = new Option(flags, description);
  return command.addOption(option).hook('preAction', (_, action) => {
    if (action.getOptionValue(option.attributeName()) === undefined)
      action.error(`error: required option '${flags}' not specified`);
  });
}

/** The environment, as if it named the database that the option does. */
export function environmentWith({ database }: DatabaseOptions): Variables {
  if (database === undefined) return process.env;
  // empty, which counts as not set
  const url = { DATABASE_URL: database, DATABASE_URL_FILE: '' };
  // the password of the environment would replace one in the URL
  const password = lacksPassword(database)
    ? {}
    : { DATABASE_PASSWORD: '', DATABASE_PASSWORD_FILE: '' };
  return { ...process.env, ...url, ...password };
}

/** Reads an argument that must be a full Matrix user id. */
export function userId(text: string): string {
  if (/^@[^:]*:./s.test(text) && Buffer.byteLength(text) <= 255) return text;
  throw new InvalidArgumentError("Use a full user id, for example '@alice:example.org'.");
}

/** Reads an option that counts something. */
export function wholeNumber(text: string): number {
  if (!/^[0-9]{1,9}$/.test(text)) throw new InvalidArgumentError('Use a whole number.');
  return Number(text);
}
