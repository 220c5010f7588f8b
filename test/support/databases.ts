import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import mysql from 'mysql2/promise';
import type { DataSourceOptions } from 'typeorm';

/** A fresh, empty database of its own for whoever created it. */
export interface TestDatabase {
  /** `sqlite:/path/to/file` or `mysql://user:password@host:port/name` (for MariaDB too). */
  readonly url: string;
  /** What a host would hand to TypeORM, without entities and migrations. */
  readonly dataSourceOptions: Extract<
    DataSourceOptions,
    { type: 'better-sqlite3' | 'mysql' | 'mariadb' }
  >;
  /** Removes it. Close its data sources first. */
  readonly drop: () => Promise<void>;
}

export interface DatabaseUnderTest {
  readonly name: 'SQLite' | 'MariaDB' | 'MySQL';
  readonly create: () => Promise<TestDatabase>;
}

/**
 * Every database that this run has: `describe.each(databases)('$name', ({ create }) => …)`.
 *
 * Known as soon as a test file is loaded, because global-setup.mjs has found the servers before.
 */
export const databases = findDatabases();

function findDatabases(): DatabaseUnderTest[] {
  const found = process.env.ROOM_KEYS_TEST_RUN;
  if (found === undefined) throw new Error('test/support/global-setup.mjs has not run');
  const run = JSON.parse(found) as {
    folder: string;
    prefix: string;
    mariadb?: string;
    mysql?: string;
  };
  const { folder, prefix, mariadb, mysql } = run;
  return [
    { name: 'SQLite', create: () => createFile(folder) },
    ...(mariadb
      ? [{ name: 'MariaDB' as const, create: () => createOn(mariadb, 'mariadb', prefix) }]
      : []),
    ...(mysql ? [{ name: 'MySQL' as const, create: () => createOn(mysql, 'mysql', prefix) }] : []),
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

/** A database of its own on the server of a URL. */
export async function createOn(
  server: string,
  type: 'mariadb' | 'mysql',
  prefix: string,
): Promise<TestDatabase> {
  const name = prefix + randomBytes(6).toString('hex');
  await execute(server, 'CREATE DATABASE ?? CHARACTER SET utf8mb4', name);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    dataSourceOptions: { type, url: url.href },
    drop: () => execute(server, 'DROP DATABASE IF EXISTS ??', name),
  };
}

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
