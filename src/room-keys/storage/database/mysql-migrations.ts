/** Migrations on MySQL and MariaDB, for one process at a time. */
import { type DataSource, type Migration, MigrationExecutor } from 'typeorm';
import { causalReads, checkCausalReads } from './mysql-settings.js';
import { conflictCode, mysqlCode } from './errors.js';
import { MIGRATIONS_MS, migrateOn, stillMigrating, withinMigrationTime } from './migration-lock.js';

/** What only one server of a cluster has at a time, whichever members the servers are connected to. */
interface ClusterLock {
  /** @returns the error that says that another server has it; undefined where it is ours now */
  acquire: (dataSource: DataSource) => Promise<unknown>;
  release: string;
}

/** A table: all nodes of a Galera cluster carry the statement that makes it out in one order. */
const tableLock: ClusterLock = {
  acquire: async (dataSource) => {
    try {
      await dataSource.query('CREATE TABLE room_keys_migrating (held int PRIMARY KEY)');
      return undefined;
    } catch (error) {
      if ((error as { code?: string }).code !== 'ER_TABLE_EXISTS_ERROR') throw error;
      return error;
    }
  },
  release: 'DROP TABLE room_keys_migrating',
};

/**
 * A row: of the transactions that insert it, a MySQL group commits one. A table cannot be the lock there: if members
 * create it at the same time, those that then receive the statement of another have to leave the group. With IF NOT
 * EXISTS they do not, and the table stays, since dropping it would do the same to a member that inserts.
 */
const rowLock: ClusterLock = {
  acquire: async (dataSource) => {
    await dataSource.query(
      'CREATE TABLE IF NOT EXISTS room_keys_migration_lock (held int NOT NULL PRIMARY KEY)',
    );
    try {
      await dataSource.query('INSERT INTO room_keys_migration_lock VALUES (1)');
      return undefined;
    } catch (error) {
      const { driverError } = error as { driverError?: Error };
      if (!driverError || !conflictCode({ code: mysqlCode(driverError) })) throw error;
      return error;
    }
  },
  release: 'DELETE FROM room_keys_migration_lock',
};

/** As `Dialect.runMigrations` says. */
export async function runMysqlMigrations(dataSource: DataSource): Promise<Migration[]> {
  await causalReads(dataSource);
  // what another server did must be seen before it is done again
  const session = await checkCausalReads(dataSource);
  if (!session?.isMultiPrimary) return locked(dataSource);
  return lockedInCluster(dataSource, session.kind === 'Galera cluster' ? tableLock : rowLock);
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

/** GET_LOCK is local to each member of a cluster. */
async function lockedInCluster(dataSource: DataSource, lock: ClusterLock): Promise<Migration[]> {
  const executor = new MigrationExecutor(dataSource);
  let taken: unknown;
  const next = await withinMigrationTime(async () => {
    if ((await executor.getPendingMigrations()).length === 0) return 'nothing to do';
    taken = await lock.acquire(dataSource);
    return taken === undefined ? 'our turn' : undefined;
  });
  if (next === 'nothing to do') return [];
  if (next === undefined) {
    throw stillMigrating(
      ` If none is, one was interrupted: ${lock.release}, and start again.`,
      taken,
    );
  }
  try {
    return await dataSource.runMigrations();
  } finally {
    await dataSource.query(lock.release);
  }
}
