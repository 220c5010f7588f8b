/** Migrations on MySQL and MariaDB, for one process at a time. */
import { type DataSource, type Migration, MigrationExecutor } from 'typeorm';
import { causalReads } from './causal-reads.js';
import { MIGRATIONS_MS, migrateOn, stillMigrating, withinMigrationTime } from './migration-lock.js';

/** A table that is there while a server of a cluster runs migrations. */
const CLUSTER_LOCK = 'room_keys_migrating';

/** As `Dialect.runMigrations` says. */
export async function runMysqlMigrations(dataSource: DataSource): Promise<Migration[]> {
  return (await causalReads(dataSource)) ? lockedInCluster(dataSource) : locked(dataSource);
}

async function locked(dataSource: DataSource): Promise<Migration[]> {
  const runner = dataSource.createQueryRunner('master');
  // a lock belongs to the server, not to the database: its name says which database it is about
  const name = "CONCAT('room_keys_migrations.', LEFT(SHA2(DATABASE(), 256), 32))";
  try {
    const [row] = (await runner.query(
      `SELECT GET_LOCK(${name}, ${MIGRATIONS_MS / 1000}) AS got`,
    )) as { got: unknown }[];
    if (Number(row?.got) !== 1) throw stillMigrating();
    try {
      return await migrateOn(dataSource, runner);
    } finally {
      await runner.query(`SELECT RELEASE_LOCK(${name})`);
    }
  } finally {
    await runner.release();
  }
}

/**
 * No node of a Galera cluster hears of another's GET_LOCK. The statement that makes a table is carried
 * out by all of them in one order, and so succeeds for one server.
 */
async function lockedInCluster(dataSource: DataSource): Promise<Migration[]> {
  const executor = new MigrationExecutor(dataSource);
  let exists: unknown;
  const next = await withinMigrationTime(async () => {
    if ((await executor.getPendingMigrations()).length === 0) return 'nothing to do';
    try {
      await dataSource.query(`CREATE TABLE ${CLUSTER_LOCK} (held int PRIMARY KEY)`);
      return 'our turn';
    } catch (error) {
      if ((error as { code?: string }).code !== 'ER_TABLE_EXISTS_ERROR') throw error;
      exists = error;
      return undefined;
    }
  });
  if (next === 'nothing to do') return [];
  if (next === undefined) {
    throw stillMigrating(
      ` If none is, one ended in the middle: DROP TABLE ${CLUSTER_LOCK}, and start again.`,
      exists,
    );
  }
  try {
    return await dataSource.runMigrations();
  } finally {
    await dataSource.query(`DROP TABLE ${CLUSTER_LOCK}`);
  }
}
