import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import mysql from 'mysql2/promise';
import type { DataSourceOptions } from 'typeorm';
import { withPostgres } from './server-kinds.mjs';

/** A fresh, empty database for its creator alone. */
export interface TestDatabase {
  /** `sqlite:/path/to/file`, `mysql://user:password@host:port/name` (for MariaDB too) or `postgres://…`. */
  readonly url: string;
  /** What a host would hand to TypeORM, without entities and migrations. */
  readonly dataSourceOptions: Extract<DataSourceOptions, { type: (typeof TYPES)[DatabaseName] }>;
  /** Removes it. Close its data sources first. */
  readonly drop: () => Promise<unknown>;
}

export type DatabaseName = 'SQLite' | 'MariaDB' | 'MySQL' | 'PostgreSQL';

/** The `type` of TypeORM for each. */
export const TYPES = {
  SQLite: 'better-sqlite3',
  MariaDB: 'mariadb',
  MySQL: 'mysql',
  PostgreSQL: 'postgres',
} as const satisfies Record<DatabaseName, DataSourceOptions['type']>;

export interface DatabaseUnderTest {
  readonly name: DatabaseName;
  readonly create: () => Promise<TestDatabase>;
}

/**
 * Every database that this run has: `describe.each(databases)('$name', ({ create }) => …)`.
 *
 * Known as soon as a test file is loaded, because global-setup.mjs has found the servers before.
 */
export const databases = findDatabases();

/** Those with a server: they have several writers at once, locks on rows, and connections that can be lost. */
export const serverDatabases = databases.filter(({ name }) => name !== 'SQLite');

/** Those that speak MySQL's dialect, through mysql2. */
export const mysqlDatabases = databases.filter(
  ({ name }) => name === 'MariaDB' || name === 'MySQL',
);

function findDatabases(): DatabaseUnderTest[] {
  const found = process.env.ROOM_KEYS_TEST_RUN;
  if (found === undefined) throw new Error('test/support/global-setup.mjs has not run');
  const run = JSON.parse(found) as { folder: string; prefix: string } & Partial<
    Record<ServerType, string>
  >;
  const onServer = (name: Exclude<DatabaseName, 'SQLite'>): DatabaseUnderTest[] => {
    const type = TYPES[name];
    const server = run[type];
    return server ? [{ name, create: () => createOn(server, type, run.prefix) }] : [];
  };
  return [
    { name: 'SQLite', create: () => createFile(run.folder) },
    ...onServer('MariaDB'),
    ...onServer('MySQL'),
    ...onServer('PostgreSQL'),
  ];
}

async function createFile(folder: string): Promise<TestDatabase> {
  // A folder each: SQLite puts a log and an index beside the file.
  const own = await mkdtemp(join(folder, 'sqlite-'));
  const database = join(own, 'test.sqlite');
  return {
    url: `sqlite:${database}`,
    dataSourceOptions: { type: 'better-sqlite3', database, enableWAL: true },
    drop: () => rm(own, { recursive: true, force: true }),
  };
}

/** The database for a host that sets more in the options of its DataSource. */
export function withOptions(
  database: TestDatabase,
  more: { url?: string; poolSize?: number; extra?: object },
): TestDatabase {
  const { dataSourceOptions } = database;
  return {
    ...database,
    dataSourceOptions: { ...dataSourceOptions, ...more } as typeof dataSourceOptions,
  };
}

export type ServerType = Exclude<(typeof TYPES)[DatabaseName], 'better-sqlite3'>;

/** A database of its own on the server of a URL. */
export async function createOn(
  server: string,
  type: ServerType,
  prefix: string,
): Promise<TestDatabase> {
  const name = prefix + randomBytes(6).toString('hex');
  const { create, drop } = STATEMENTS[type];
  await create(server, name);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    // of the two that speak MySQL's dialect, one is as the server has it, and one as hosts have it by default
    dataSourceOptions: {
      type,
      url: url.href,
      ...(type === 'mysql' && { multipleStatements: true }),
    },
    drop: () => drop(server, name),
  };
}

interface Statements {
  create: (server: string, name: string) => Promise<unknown>;
  drop: (server: string, name: string) => Promise<unknown>;
}

const mysqlStatements: Statements = {
  create: (server, name) => execute(server, 'CREATE DATABASE ?? CHARACTER SET utf8mb4', name),
  drop: (server, name) => execute(server, 'DROP DATABASE IF EXISTS ??', name),
};

const STATEMENTS: Record<ServerType, Statements> = {
  mariadb: mysqlStatements,
  mysql: mysqlStatements,
  postgres: {
    // whatever else is in the template of the server, and whatever encoding that has
    create: (server, name) =>
      withPostgres(server, (client) =>
        client.query(`CREATE DATABASE "${name}" TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'`),
      ),
    drop: (server, name) =>
      withPostgres(server, (client) =>
        client.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`),
      ),
  },
};

async function execute(server: string, statement: string, name: string): Promise<void> {
  const connection = await mysql.createConnection(server);
  try {
    // A transaction that a test left open would hold DROP DATABASE back for as long as a year.
    await connection.query('SET SESSION lock_wait_timeout = 10');
    await connection.query(statement, [name]);
  } finally {
    await connection.end();
  }
}
