/** Migrations on SQLite, for one process at a time. */
import type { DataSource, Migration } from 'typeorm';
import { conflictCode } from './errors.js';
import { withinMigrationTime } from './migration-lock.js';

/**
 * As `Dialect.runMigrations` says. SQLite's lock is that of a transaction that writes. It is begun before the first
 * check for pending migrations: without it, a process would find tables that another is creating.
 */
export async function runSqliteMigrations(dataSource: DataSource): Promise<Migration[]> {
  await beginToWrite(dataSource);
  try {
    const ran = await dataSource.runMigrations({ transaction: 'none' });
    await dataSource.query('COMMIT');
    return ran;
  } catch (error) {
    await dataSource.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

async function beginToWrite(dataSource: DataSource): Promise<void> {
  let busy: unknown;
  const hasBegun = await withinMigrationTime(async () => {
    try {
      await dataSource.query('BEGIN IMMEDIATE');
      return true;
    } catch (error) {
      if (conflictCode(error) === undefined) throw error;
      busy = error;
      return undefined;
    }
  });
  if (!hasBegun) throw busy;
}
