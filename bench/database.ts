import type { Contestant } from './contestant.js';
import { createMysqlDatabase } from './database-mysql.js';
import { createPostgresDatabase } from './database-postgres.js';
import { createSqliteDatabase } from './database-sqlite.js';

/** A database that this run made, and removes again. */
export interface BenchDatabase {
  /** Such as `MySQL 9.7.0`. */
  description: string;
  /** What the server takes as `DATABASE_URL`. */
  url: string;
  /** @param url by which it is reached, if not by {@link url} */
  floor(url?: URL): Promise<Contestant>;
  /** Milliseconds of processor time that its server took so far; undefined where that is not on this machine. */
  cpuMs(): number | undefined;
  /** Whether deleted keys are still waiting to be swept. */
  isSwept(): Promise<boolean>;
  /** Bytes of our table of keys, and of its indexes. */
  bytesOfKeys(): Promise<{ data: number; index: number } | undefined>;
  drop(): Promise<void>;
}

/** Protocols of URLs of servers. */
export const SERVERS = ['mysql:', 'mariadb:', 'postgres:', 'postgresql:'];

/**
 * Makes a database with a name of its own.
 *
 * @param url `sqlite:`, or that of a server on which the user may create databases
 * @param suffix tells several of one run apart
 */
export function createDatabase(url: URL, suffix = ''): Promise<BenchDatabase> {
  const name = `room_keys_bench_${process.pid}${suffix}`;
  if (url.protocol === 'sqlite:') return createSqliteDatabase(url.pathname);
  if (url.protocol.startsWith('postgres')) return createPostgresDatabase(url, name);
  return createMysqlDatabase(url, name);
}
