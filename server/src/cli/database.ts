import { statSync } from 'node:fs';
import { Logger } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { openDatabase } from '../database.js';
import { type DatabaseSettings, fileOf } from '../database-url.js';
import { readEnvironment } from '../environment.js';
import { settingMeant } from '../unknown-settings.js';
import { type DatabaseOptions, environmentWith } from './options.js';
import { Failure } from './output.js';

/** How many days the history of backups is kept; 0 disables it. */
interface History {
  historyDays: number;
}

/** The settings of the command's database, read as the server reads them, and those of its history. */
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

/** Opens the database, whose tables must exist, and closes it after `work`. */
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

/** The error of a command for a user of whom nothing is stored. */
export const unknownUser = (id: string): Failure =>
  new Failure(`The database has no backup of ${id}. Check the user id.`);
