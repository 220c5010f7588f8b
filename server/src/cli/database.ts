import { statSync } from 'node:fs';
import { Logger } from '@nestjs/common';
import { type Command, Option } from 'commander';
import type { DataSource } from 'typeorm';
import { openDatabase } from '../database.js';
import { type DatabaseSettings, fileOf, lacksPassword } from '../database-url.js';
import { readEnvironment, type Variables } from '../environment.js';
import { settingMeant } from '../unknown-settings.js';
import { Failure } from './exit.js';

/** How many days the history of backups goes back; 0 where there is to be none. */
interface History {
  historyDays: number;
}

/** What {@link databaseOption} gives a command. */
export interface DatabaseOptions {
  database?: string;
}

/** `--database`, for the commands that work on the server's database. */
export const databaseOption = () =>
  new Option(
    '--database <url>',
    'sqlite:FILE, postgres://…, mysql://… or mariadb://…; takes the place of DATABASE_URL, and of DATABASE_PASSWORD unless a password is all it lacks. A password is better kept in the file that DATABASE_PASSWORD_FILE names: others see the arguments of a command',
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
  // the password of the environment would take the place of one in the URL
  const password = lacksPassword(database)
    ? {}
    : { DATABASE_PASSWORD: '', DATABASE_PASSWORD_FILE: '' };
  return { ...process.env, ...url, ...password };
}

/** The database that the command is about, as the server would find it, and what is written there beside the work. */
export function databaseSettings(options: DatabaseOptions): DatabaseSettings & History {
  const variables = Object.entries(environmentWith(options));
  // these alone, misspelt ones among them: a command does not mind how the server would listen, or check tokens
  const about = variables.filter(([name]) =>
    /^(?:DATABASE_|HISTORY_DAYS$)/.test(settingMeant(name) ?? name),
  );
  return readEnvironment(Object.fromEntries(about));
}

/** Opens the database of a command. What a server warns of when it starts is not part of a command's output. */
export function openForCommand(settings: DatabaseSettings): Promise<DataSource> {
  Logger.overrideLogger(['error', 'fatal']);
  return openDatabase(settings, false);
}

/** Opens the database, whose tables must be there, and closes it when `work` is through. */
export async function withDatabase<T>(
  options: DatabaseOptions,
  work: (dataSource: DataSource, history: History) => Promise<T>,
): Promise<T> {
  const settings = databaseSettings(options);
  const file = fileOf(settings.databaseUrl);
  if (file !== undefined && !statSync(file, { throwIfNoEntry: false })) {
    throw new Failure(
      `There is no database ${file}. Check DATABASE_URL, or run 'room-keys-server migrate' to create it.`,
    );
  }
  const dataSource = await openForCommand(settings);
  try {
    await checkTables(dataSource);
    return await work(dataSource, settings);
  } finally {
    await dataSource.destroy();
  }
}

async function checkTables(dataSource: DataSource): Promise<void> {
  const { RoomKeysMaintenance } = await import('nestjs-room-keys/operations');
  try {
    await new RoomKeysMaintenance(dataSource).checkTables();
  } catch (error) {
    if ((error as { code?: string }).code !== 'ROOM_KEYS_NO_TABLES') throw error;
    throw new Failure(
      "The database lacks tables or columns. Run 'room-keys-server migrate', or check that DATABASE_URL is the server's database.",
    );
  }
}
