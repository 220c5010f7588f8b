import type { DataSourceOptions } from 'typeorm';

/** The two kinds of SQL that this module speaks. */
export type DatabaseFamily = 'mysql' | 'sqlite';

/**
 * Tells the family from the `type` of a DataSource.
 *
 * @throws Error with a sentence for the developer, where the type is not supported
 */
export function familyOf(type: DataSourceOptions['type']): DatabaseFamily {
  if (type === 'mysql' || type === 'mariadb') return 'mysql';
  if (type === 'better-sqlite3') return 'sqlite';
  throw new Error(
    `RoomKeysModule cannot use a DataSource of type '${type}': give it one of type 'mysql', 'mariadb' or 'better-sqlite3'.`,
  );
}
