import type { DataSource, QueryRunner } from 'typeorm';
import { type DialectId, dialectOf } from '../database/dialects.js';

/** What a migration has to know of the database that it runs on. */
export interface MigrationTarget {
  dialect: DialectId;
  /** Comes before the name of each table. */
  prefix: string;
}

/** TypeORM 1 calls the DataSource of a QueryRunner `dataSource`, TypeORM 0.3 `connection`. */
export function migrationTarget(queryRunner: QueryRunner): MigrationTarget {
  const { dataSource, connection } = queryRunner as {
    dataSource?: DataSource;
    connection: DataSource;
  };
  const { type, entityPrefix } = (dataSource ?? connection).options;
  return { dialect: dialectOf(type).id, prefix: entityPrefix ?? '' };
}
