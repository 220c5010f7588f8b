/** Migrations on PostgreSQL, for one process at a time. */
import type { DataSource, Migration, QueryRunner } from 'typeorm';
import {
  migrateOn,
  stillMigrating,
  transactionMode,
  withinMigrationTime,
} from './migration-lock.js';
import { timeLimits } from './postgres-connection.js';

/** An advisory lock belongs to one database: its key says which schema it is about. */
const KEY =
  "hashtextextended('room_keys_migrations.' || COALESCE($1::text, current_schema(), ''), 0)";

/**
 * See `Dialect.runMigrations`. The lock belongs to a transaction, not to a session, which poolers such as pgBouncer
 * hand to another client after each transaction. It is polled, since a waiting statement holds a snapshot, and a
 * `CREATE INDEX CONCURRENTLY` of the host would wait for its end.
 */
export async function runPostgresMigrations(dataSource: DataSource): Promise<Migration[]> {
  const runner = dataSource.createQueryRunner('master');
  try {
    await beginLocked(dataSource, runner);
    // in that transaction, where the host wants one for all: the pool may have no second connection
    const ran =
      transactionMode(dataSource) === 'all'
        ? await migrateOn(dataSource, runner)
        : await dataSource.runMigrations();
    await runner.commitTransaction();
    return ran;
  } catch (error) {
    // the first failure says more
    if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
    throw error;
  } finally {
    await runner.release();
  }
}

/** Begins a transaction that has the lock, and that no time-out of the role or the database ends. */
async function beginLocked({ options }: DataSource, runner: QueryRunner): Promise<void> {
  const { schema } = options as { schema?: string };
  const isOurs = await withinMigrationTime(async () => {
    // it sees what the one before it has made, whatever `default_transaction_isolation` says
    await runner.startTransaction('READ COMMITTED');
    await runner.query('SET TRANSACTION READ WRITE');
    await runner.query(`SELECT ${timeLimits(0, 0, 0)}`);
    const [row] = (await runner.query(
      `SELECT CASE WHEN pg_try_advisory_xact_lock(${KEY}) THEN 1 END AS got`,
      [schema ?? null],
    )) as { got: unknown }[];
    if (Number(row?.got) === 1) return true;
    await runner.rollbackTransaction();
    return undefined;
  });
  if (!isOurs) throw stillMigrating();
}
