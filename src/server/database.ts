import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { DataSource, type DataSourceOptions, type Migration, MigrationExecutor } from 'typeorm';
import {
  limitLockWaits,
  prepareDataSource,
  roomKeysEntities,
  roomKeysMigrations,
} from '../index.js';
import type { Environment } from './environment.js';
import { hostOf } from './setting-kinds.js';

/** How long a server waits for another one that runs migrations. */
const MIGRATIONS_MS = 60_000;
/** A table that is there while a server of a cluster runs migrations. */
const CLUSTER_LOCK = 'room_keys_migrating';
/**
 * How long SQLite waits for a lock by itself, which holds up the whole process: what takes longer is
 * tried again later, and the process does other things meanwhile.
 */
const BUSY_TIMEOUT_MS = 100;
/** After so long without a byte, TCP asks whether the database is still there; ten seconds later it is gone. */
const KEEP_ALIVE_MS = 15_000;

/** The database that the settings name, and how it is spoken to. */
export type DatabaseSettings = Pick<
  Environment,
  'databaseUrl' | 'databaseTls' | 'databaseTlsCa' | 'databaseConnections'
>;

/** TypeORM's options for a database: `sqlite:PATH`, `mysql://…` or `mariadb://…`. */
export function dataSourceOptions(settings: DatabaseSettings): DataSourceOptions {
  const url = settings.databaseUrl;
  if (url.protocol === 'sqlite:') {
    return {
      type: 'better-sqlite3',
      database: decodeURIComponent(url.pathname),
      enableWAL: true,
      // what is acknowledged survives a loss of power: better-sqlite3's own default does not promise it
      prepareDatabase: (database: { pragma(text: string): unknown }) => {
        database.pragma('synchronous = FULL');
      },
      entities: roomKeysEntities('better-sqlite3'),
      migrations: roomKeysMigrations,
    };
  }
  const type = url.protocol === 'mariadb:' ? 'mariadb' : 'mysql';
  return {
    type,
    // in parts: TypeORM's own reading of a URL takes an address of IPv6 for a name
    host: hostOf(url),
    ...(url.port && { port: Number(url.port) }),
    username: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)),
    charset: 'utf8mb4',
    ...tlsOf(settings),
    poolSize: settings.databaseConnections,
    // The system's own two hours are how long an idle connection to a host that is gone would look well.
    extra: { keepAliveInitialDelay: KEEP_ALIVE_MS },
    entities: roomKeysEntities(type),
    migrations: roomKeysMigrations,
  };
}

function tlsOf({ databaseTls, databaseTlsCa: ca }: DatabaseSettings) {
  if (databaseTls === 'off') return {};
  return { ssl: { ...(ca && { ca }), verifyIdentity: databaseTls === 'verify-full' } };
}

/**
 * Connects, and runs pending migrations where `migrate` says so. A file of SQLite that is not there is made, and
 * readable by its owner alone.
 */
export async function openDatabase(
  options: DataSourceOptions,
  migrate: boolean,
): Promise<DataSource> {
  if (options.type === 'better-sqlite3') makeFile(options.database);
  const dataSource = await new DataSource(options).initialize();
  try {
    // not from the first moment: of servers that start at once, each waits to switch to WAL
    if (options.type === 'better-sqlite3') {
      await dataSource.query(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    }
    await prepareDataSource(dataSource);
    const ran = migrate ? await runMigrations(dataSource) : [];
    for (const name of ran) new Logger('Database').log(`Ran the migration ${name}`, { name });
    // not before migrations, which may have to wait for what other programs do with the tables
    limitLockWaits(dataSource);
    return dataSource;
  } catch (error) {
    await dataSource.destroy();
    throw error;
  }
}

/** SQLite itself would let everybody read it. It gives the files beside it, `-wal` and `-shm`, the same mode. */
function makeFile(file: string): void {
  if (file === ':memory:' || existsSync(file)) return;
  mkdirSync(dirname(file), { recursive: true });
  // of servers that start at once, one makes it
  closeSync(openSync(file, 'a', 0o600));
}

/**
 * Runs pending migrations; of several servers that start at once, one does, and the others wait for it.
 *
 * @returns the names of those that this call ran
 */
export async function runMigrations(dataSource: DataSource): Promise<string[]> {
  const lockedRun = await lockedRunFor(dataSource);
  const ran = await lockedRun(dataSource);
  return ran.map(({ name }) => name);
}

async function lockedRunFor(dataSource: DataSource) {
  if (dataSource.options.type === 'better-sqlite3') return inOneTransaction;
  const { isCluster } = await prepareDataSource(dataSource);
  return isCluster ? lockedInCluster : locked;
}

async function locked(dataSource: DataSource): Promise<Migration[]> {
  const runner = dataSource.createQueryRunner('master');
  // a lock belongs to the server, not to the database: its name says which database it is about
  const name = "CONCAT('room_keys_migrations.', LEFT(SHA2(DATABASE(), 256), 32))";
  try {
    const [row] = (await runner.query(
      `SELECT GET_LOCK(${name}, ${MIGRATIONS_MS / 1000}) AS got`,
    )) as { got: unknown }[];
    if (Number(row?.got) !== 1)
      throw new Error('Another server is still running migrations: start again when it is done.');
    try {
      return await dataSource.runMigrations();
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
  for (const deadline = Date.now() + MIGRATIONS_MS; ;) {
    if ((await executor.getPendingMigrations()).length === 0) return [];
    try {
      await dataSource.query(`CREATE TABLE ${CLUSTER_LOCK} (held int PRIMARY KEY)`);
      break;
    } catch (error) {
      if ((error as { code?: string }).code !== 'ER_TABLE_EXISTS_ERROR') throw error;
      if (Date.now() > deadline) {
        throw new Error(
          `Another server is still running migrations: start again when it is done. If none is, one ended in the middle: DROP TABLE ${CLUSTER_LOCK}, and start again.`,
          { cause: error },
        );
      }
      await sleep(50 + Math.random() * 100);
    }
  }
  try {
    return await dataSource.runMigrations();
  } finally {
    await dataSource.query(`DROP TABLE ${CLUSTER_LOCK}`);
  }
}

/**
 * SQLite's lock is that of a transaction that writes. It is begun before the first look at what is
 * pending: who looked without it would find the tables made by another in the middle.
 */
async function inOneTransaction(dataSource: DataSource): Promise<Migration[]> {
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
  for (const deadline = Date.now() + MIGRATIONS_MS; ;) {
    try {
      await dataSource.query('BEGIN IMMEDIATE');
      return;
    } catch (error) {
      const isBusy = (error as { code?: string }).code?.startsWith('SQLITE_BUSY') ?? false;
      if (!isBusy || Date.now() > deadline) throw error;
      await sleep(50 + Math.random() * 100);
    }
  }
}
