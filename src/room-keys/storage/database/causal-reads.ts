import type { DataSource } from 'typeorm';
import { onEachConnection } from './mysql-pool.js';

/** The bit of `wsrep_sync_wait` for SELECT and for BEGIN: all that this module does begins with one of them. */
const READS = 1;

/** Those whose connections all wait. */
const waiting = new WeakSet<DataSource>();

/**
 * For a DataSource whose database is a Galera cluster: has each connection wait, before it reads or
 * begins a transaction, until its node has applied what the others had committed by then. Else a backup that
 * was just made through one node does not exist on another. On other databases it asks one thing,
 * and changes nothing.
 *
 * Call it once the DataSource is initialized and before anything uses it, such as in the
 * `dataSourceFactory` of `TypeOrmModule`. With `replication`, or with `resetOnRelease` in `extra`, it
 * has no effect: write `wsrep_sync_wait=1` in the configuration of each node instead.
 *
 * @returns whether the database is a Galera cluster
 * @publicApi
 */
export async function causalReads(dataSource: DataSource): Promise<boolean> {
  const session = await galeraSession(dataSource);
  if (!session) return false;
  if (waiting.has(dataSource)) return true;
  waiting.add(dataSource);
  // a plain number: what stands between us and the database may want to understand it
  onEachConnection(dataSource, `SET SESSION wsrep_sync_wait = ${session.syncWait | READS}`);
  return true;
}

/** 1 statement: for what a session of a DataSource waits for other nodes; undefined where there is no cluster. */
export async function galeraSession(
  dataSource: DataSource,
): Promise<{ syncWait: number; readsCausally: boolean } | undefined> {
  if (!isMysql(dataSource)) return undefined;
  const rows = await dataSource.query<{ Variable_name: string; Value: string }[]>(
    "SHOW VARIABLES WHERE Variable_name IN ('wsrep_on', 'wsrep_sync_wait')",
  );
  const values = new Map(rows.map((row) => [row.Variable_name, row.Value]));
  if (values.get('wsrep_on') !== 'ON') return undefined;
  const syncWait = Number(values.get('wsrep_sync_wait'));
  return { syncWait, readsCausally: (syncWait & READS) !== 0 };
}

const isMysql = ({ options }: DataSource): boolean => ['mysql', 'mariadb'].includes(options.type);
