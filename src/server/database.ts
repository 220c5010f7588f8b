import { setTimeout as sleep } from 'node:timers/promises';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { roomKeysEntities, roomKeysMigrations } from '../index.js';

/** TypeORM's options for the database of a URL: `sqlite:PATH`, `mysql://…` or `mariadb://…`. */
export function dataSourceOptions(url: URL): DataSourceOptions {
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
  const mysqlUrl = new URL(url);
  mysqlUrl.protocol = 'mysql:';
  return {
    type,
    url: mysqlUrl.href,
    charset: 'utf8mb4',
    entities: roomKeysEntities(type),
    migrations: roomKeysMigrations,
  };
}

/** Connects, and runs pending migrations where `migrate` says so. */
export async function openDatabase(
  options: DataSourceOptions,
  migrate: boolean,
): Promise<DataSource> {
  const dataSource = await new DataSource(options).initialize();
  try {
    if (migrate) await runMigrations(dataSource);
    return dataSource;
  } catch (error) {
    await dataSource.destroy();
    throw error;
  }
}

/** Runs pending migrations; of several servers that start at once, one does, and the others wait for it. */
export async function runMigrations(dataSource: DataSource): Promise<void> {
  await (dataSource.options.type === 'better-sqlite3' ? retried(dataSource) : locked(dataSource));
}

async function locked(dataSource: DataSource): Promise<void> {
  const runner = dataSource.createQueryRunner('master');
  // a lock belongs to the server, not to the database: its name says which database it is about
  const name = "CONCAT('room_keys_migrations.', LEFT(SHA2(DATABASE(), 256), 32))";
  try {
    const [row] = (await runner.query(`SELECT GET_LOCK(${name}, 60) AS got`)) as { got: unknown }[];
    if (Number(row?.got) !== 1)
      throw new Error('Another server is still running migrations: start again when it is done.');
    try {
      await dataSource.runMigrations();
    } finally {
      await runner.query(`SELECT RELEASE_LOCK(${name})`);
    }
  } finally {
    await runner.release();
  }
}

/** SQLite runs them all in one transaction: who comes second fails, and finds them done when it looks again. */
async function retried(dataSource: DataSource): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await dataSource.runMigrations();
      return;
    } catch (error) {
      if (attempt === 20) throw error;
      await sleep(50 + Math.random() * 200);
    }
  }
}
