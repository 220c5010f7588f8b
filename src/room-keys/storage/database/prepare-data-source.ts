import type { DataSource } from 'typeorm';
import { causalReads } from './mysql-settings.js';
import { dialectOf } from './dialects.js';

/** Those whose settings were checked: the module does not check, or warn, again. */
const prepared = new WeakSet<DataSource>();

/**
 * Checks the settings of the database on which promises of this module depend, and has reads wait for what other members have committed where it
 * is a Galera cluster or a MySQL group. Call it once the DataSource is initialized and before
 * anything uses it, migrations included, for example in the `dataSourceFactory` of `TypeOrmModule`.
 *
 * @returns whether the database is a cluster whose nodes all take writes
 * @throws Error with one sentence that says what to set
 * @publicApi
 */
export async function prepareDataSource(dataSource: DataSource): Promise<{ isCluster: boolean }> {
  const dialect = dialectOf(dataSource.options.type);
  const isCluster = await causalReads(dataSource);
  await dialect.checkSettings(dataSource);
  prepared.add(dataSource);
  return { isCluster };
}

/** Checks the settings of the database, unless the host has had {@link prepareDataSource} do so. */
export async function checkSettings(dataSource: DataSource): Promise<void> {
  if (prepared.has(dataSource)) return;
  await dialectOf(dataSource.options.type).checkSettings(dataSource);
}

/**
 * On MySQL and MariaDB, from now on a statement of the DataSource waits for locks of other sessions for 3 seconds,
 * instead of 50 for rows and of a day or a year for tables; the module begins again what had to wait longer. It
 * holds for the host's statements too. With `resetOnRelease` in `extra` or `replication` it does nothing, nor on
 * PostgreSQL, where the module limits the waits of its own transactions, and on SQLite.
 *
 * @publicApi
 */
export function limitLockWaits(dataSource: DataSource): void {
  dialectOf(dataSource.options.type).limitLockWaits(dataSource);
}

/**
 * Runs pending migrations of the DataSource, the host's among them, as its own `runMigrations` does; but of several
 * processes that start at once, one does, and the others wait for it, for at most a minute.
 *
 * @returns the names of those that this call ran
 * @throws Error with one sentence where another process still runs them
 * @publicApi
 */
export async function runMigrations(dataSource: DataSource): Promise<string[]> {
  const ran = await dialectOf(dataSource.options.type).runMigrations(dataSource);
  return ran.map(({ name }) => name);
}
