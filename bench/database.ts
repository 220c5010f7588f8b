import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import mysql from 'mysql2/promise';
import type { RowDataPacket } from 'mysql2/promise';
import Database from 'better-sqlite3';
import type { Contestant } from './contestant.js';
import { MysqlFloor } from './floor-mysql.js';
import { SqliteFloor } from './floor-sqlite.js';

/** A database that this run made, and removes again. */
export interface BenchDatabase {
  /** Such as `MySQL 9.7.0`. */
  description: string;
  /** What the server takes as `DATABASE_URL`. */
  url: string;
  floor(): Promise<Contestant>;
  /** Whether deleted keys are still waiting to be swept. */
  isSwept(): Promise<boolean>;
  /** Bytes of our table of keys, with its index. */
  bytesOfKeys(): Promise<{ data: number; index: number } | undefined>;
  drop(): Promise<void>;
}

const RETIRED = `SELECT (SELECT COUNT(*) FROM room_keys_key_sets WHERE retired_at IS NOT NULL)
  + (SELECT COUNT(*) FROM room_keys_retired_rooms) AS waiting`;

/**
 * Makes a database with a name of its own.
 *
 * @param url `sqlite:`, or `mysql://…` or `mariadb://…` of a server where the user may create databases
 */
export function createDatabase(url: URL): Promise<BenchDatabase> {
  return url.protocol === 'sqlite:' ? createFile(url.pathname) : createOnServer(url);
}

async function createOnServer(server: URL): Promise<BenchDatabase> {
  const name = `room_keys_bench_${process.pid}`;
  const admin = new URL(server);
  admin.protocol = 'mysql:';
  admin.pathname = '/';
  const query = async (sql: string) => {
    const connection = await mysql.createConnection(admin.href);
    try {
      const [rows] = await connection.query<RowDataPacket[]>(sql);
      return rows;
    } finally {
      await connection.end();
    }
  };
  await query(`DROP DATABASE IF EXISTS ${name}`);
  await query(`CREATE DATABASE ${name} CHARACTER SET utf8mb4`);
  const [row] = await query('SELECT VERSION() AS version');
  const version = String(row?.version);
  const url = new URL(server);
  url.pathname = `/${name}`;
  const driverUrl = new URL(admin);
  driverUrl.pathname = `/${name}`;
  return {
    description: `${/mariadb/i.test(version) ? 'MariaDB' : 'MySQL'} ${version.split('-')[0] ?? ''}`,
    url: url.href,
    floor: () => MysqlFloor.create(driverUrl.href),
    isSwept: async () => {
      const [waiting] = await query(RETIRED.replaceAll('room_keys_', `${name}.room_keys_`));
      return Number(waiting?.waiting) === 0;
    },
    bytesOfKeys: async () => {
      await query(`ANALYZE TABLE ${name}.room_keys_keys`);
      const [size] = await query(
        `SELECT data_length AS data, index_length AS ix FROM information_schema.tables
         WHERE table_schema = '${name}' AND table_name = 'room_keys_keys'`,
      );
      return { data: Number(size?.data), index: Number(size?.ix) };
    },
    drop: async () => {
      await query(`DROP DATABASE ${name}`);
    },
  };
}

function createFile(given: string): Promise<BenchDatabase> {
  // not where temporary files go: that may be memory, and nothing would have to be flushed
  const parent = given === '' ? fileURLToPath(new URL('../data', import.meta.url)) : given;
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, 'bench-'));
  const file = join(folder, 'room-keys.db');
  return Promise.resolve({
    description: `SQLite ${sqliteVersion()}`,
    url: `sqlite:${file}`,
    floor: () => Promise.resolve(new SqliteFloor(join(folder, 'floor.db'))),
    isSwept: () => {
      const database = new Database(file, { readonly: true });
      const { waiting } = database.prepare<[], { waiting: number }>(RETIRED).get() ?? {};
      database.close();
      return Promise.resolve(waiting === 0);
    },
    bytesOfKeys: () => Promise.resolve(undefined),
    drop: () => {
      rmSync(folder, { recursive: true, force: true });
      return Promise.resolve();
    },
  });
}

function sqliteVersion(): string {
  const database = new Database(':memory:');
  const { version } =
    database.prepare<[], { version: string }>('SELECT sqlite_version() AS version').get() ?? {};
  database.close();
  return version ?? '';
}
