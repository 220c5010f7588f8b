import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { Logger } from '@nestjs/common';
import { DataSource, type DataSourceOptions } from 'typeorm';
import {
  limitLockWaits,
  prepareDataSource,
  roomKeysEntities,
  roomKeysMigrations,
  runMigrations,
} from 'nestjs-room-keys';
import { connectionOptions, type DatabaseSettings, fileOf } from './database-url.js';
import { aboutFile } from './start-failure.js';

/** TypeORM's options for the server's database. */
export function dataSourceOptions(settings: DatabaseSettings): DataSourceOptions {
  const options = connectionOptions(settings);
  return {
    ...options,
    entities: roomKeysEntities(options.type),
    migrations: roomKeysMigrations,
  };
}

/**
 * Connects, and runs pending migrations where `migrate` says so. A file of SQLite that is not there is made, and
 * readable by its owner alone.
 */
export async function openDatabase(
  settings: DatabaseSettings,
  migrate: boolean,
): Promise<DataSource> {
  const file = fileOf(settings.databaseUrl);
  if (file !== undefined) makeFile(file);
  try {
    return await prepared(settings, migrate);
  } catch (error) {
    throw file === undefined ? error : aboutFile(error, file);
  }
}

async function prepared(settings: DatabaseSettings, migrate: boolean): Promise<DataSource> {
  const dataSource = await new DataSource(dataSourceOptions(settings)).initialize();
  try {
    await prepareDataSource(dataSource);
    const ran = migrate ? await runMigrations(dataSource) : [];
    for (const name of ran) new Logger('Database').log(`Ran the migration ${name}`, { name });
    // not before migrations, which may have to wait for what other programs do with the tables
    limitLockWaits(dataSource);
    return dataSource;
  } catch (error) {
    await dataSource.destroy();
    throw error;
  }
}

/** SQLite itself would let everybody read it. It gives the files beside it, `-wal` and `-shm`, the same mode. */
function makeFile(file: string): void {
  if (existsSync(file)) return;
  mkdirSync(dirname(file), { recursive: true });
  // of servers that start at once, one makes it
  closeSync(openSync(file, 'a', 0o600));
}
