import type { DataSourceOptions } from 'typeorm';
import type { Dialect } from './dialect.js';
import { mysqlDialect } from './mysql.dialect.js';
import { postgresDialect } from './postgres.dialect.js';
import { sqliteDialect } from './sqlite.dialect.js';

export type { DialectId } from './dialect.js';

/**
 * The dialect for the `type` of a DataSource.
 *
 * @throws Error with a sentence for the developer where the type is not supported
 */
export function dialectOf(type: DataSourceOptions['type']): Dialect {
  if (type === 'mysql' || type === 'mariadb') return mysqlDialect;
  if (type === 'postgres') return postgresDialect;
  if (type === 'better-sqlite3') return sqliteDialect;
  throw new Error(
    `RoomKeysModule does not support a DataSource of type '${type}'. Use one of type 'mysql', 'mariadb', 'postgres' or 'better-sqlite3'.`,
  );
}
