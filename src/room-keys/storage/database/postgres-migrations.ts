/** Migrations on PostgreSQL, for one process at a time. */
import type { DataSource, Migration } from 'typeorm';
import { stillMigrating, withinMigrationTime } from './migration-lock.js';

/** An advisory lock belongs to one database: its key says which schema it is about. */
const KEY = "hashtextextended('room_keys_migrations.' || current_schema(), 0)";

/** As `Dialect.runMigrations` says. */
export async function runPostgresMigrations(dataSource: DataSource): Promise<Migration[]> {
  const runner = dataSource.createQueryRunner('master');
  try {
    // the lock of a transaction, which no pooler gives to another session
    await runner.query('BEGIN');
    await runner.query(
      "SELECT set_config('idle_in_transaction_session_timeout', '0', true), set_config('statement_timeout', '0', true)",
    );
    const got = await withinMigrationTime(async () => {
      const [row] = (await runner.query(
        `SELECT CASE WHEN pg_try_advisory_xact_lock(${KEY}) THEN 1 END AS got`,
      )) as { got: unknown }[];
      return row?.got ?? undefined;
    });
    if (got === undefined) throw stillMigrating();
    return await dataSource.runMigrations();
  } finally {
    await runner.query('ROLLBACK').catch(() => undefined);
    await runner.release();
  }
}
