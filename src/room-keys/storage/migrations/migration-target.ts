import type { DataSource, QueryRunner } from 'typeorm';
import { type DialectId, dialectOf } from '../database/dialects.js';
import type { SqlValues } from '../database/sql-values.js';
import { tableNames, type Tables } from '../database/dialect.js';

/** What a migration has to know of the database that it runs on. */
export interface MigrationTarget {
  dialect: DialectId;
  /** Comes before the name of each table. */
  prefix: string;
  /** The tables, as statements name them. */
  tables: Tables;
  /** The values of a new statement. */
  values: () => SqlValues;
  /** See `Dialect`. */
  onConflict: (primaryKey: string) => string;
}

/** TypeORM 1 calls the DataSource of a QueryRunner `dataSource`, TypeORM 0.3 `connection`. */
export function migrationTarget(
  queryRunner: QueryRunner | { connection: DataSource },
): MigrationTarget {
  const dataSource = 'dataSource' in queryRunner ? queryRunner.dataSource : queryRunner.connection;
  const { type, entityPrefix: prefix = '' } = dataSource.options;
  const dialect = dialectOf(type);
  const tables = tableNames(prefix, (name) => dialect.table(name, dataSource));
  return {
    dialect: dialect.id,
    prefix,
    tables,
    values: () => dialect.values(),
    onConflict: (primaryKey) => dialect.onConflict(primaryKey),
  };
}
