/** Settings of MySQL and MariaDB: those that this module can only check, and those that it sets in a cluster. */
import { Logger } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { onEachConnection } from './mysql-pool.js';

/** @throws Error with one sentence that says what to set, for a database on which promises would not hold */
export async function checkMysqlSettings(dataSource: DataSource): Promise<void> {
  await checkBinaryLog(dataSource);
  await checkCausalReads(dataSource);
  warnOfLostNodes(dataSource);
}

/** InnoDB refuses each statement that changes rows then, the first migration included. */
async function checkBinaryLog(dataSource: DataSource): Promise<void> {
  const values = await variables(dataSource, [
    'log_bin',
    'binlog_format',
    'tx_isolation',
    'transaction_isolation',
  ]);
  const isolation = values.get('transaction_isolation') ?? values.get('tx_isolation');
  if (
    values.get('log_bin') === 'ON' &&
    values.get('binlog_format') === 'STATEMENT' &&
    isolation === 'READ-COMMITTED'
  ) {
    throw new Error(
      'RoomKeysModule: the database rejects every write while binlog_format is STATEMENT and transactions are READ COMMITTED. Set binlog_format=ROW or transaction_isolation=REPEATABLE-READ in its configuration.',
    );
  }
}

/** mysql2 removes a node of its cluster of pools after five errors, for good unless `restoreNodeTimeout` is set. */
function warnOfLostNodes({ options }: DataSource): void {
  const { replication } = options as { replication?: { restoreNodeTimeout?: number } };
  if (!replication || replication.restoreNodeTimeout) return;
  new Logger('RoomKeysModule').warn(
    'The DataSource has replication without restoreNodeTimeout: after five failed connections, mysql2 does not use a server again until the process restarts. Set replication.restoreNodeTimeout, for example to 1000.',
  );
}

// --- clusters -----------------------------------------------------------------------------------

/** The bit of `wsrep_sync_wait` for SELECT and for BEGIN: all that this module does begins with one of them. */
const READS = 1;

/** By the value of `group_replication_consistency`, the one that has a read wait for other members too. */
const WITH_READS: Readonly<Record<string, string>> = {
  EVENTUAL: 'BEFORE',
  BEFORE_ON_PRIMARY_FAILOVER: 'BEFORE',
  AFTER: 'BEFORE_AND_AFTER',
};

/** A cluster whose members share one database, and what a session of it waits for. */
interface ClusterSession {
  kind: 'Galera cluster' | 'MySQL group';
  /** Whether all members take writes, or one of them. */
  isMultiPrimary: boolean;
  /** What a session lacks that waits for other members before it reads. */
  missing: { name: string; value: string | number } | undefined;
}

/** Those whose connections all wait. */
const waiting = new WeakSet<DataSource>();

/**
 * For a DataSource whose database is a Galera cluster, or a MySQL group (Group Replication): has each connection
 * wait, before it reads or begins a transaction, until its member has applied what the others had committed by then.
 * Else a backup that was just made through one member does not exist on another. In a group with one primary, reads
 * wait after a failover only. With `replication`, or with `resetOnRelease` in `extra`, it has no effect: set
 * `wsrep_sync_wait=1` or `group_replication_consistency=BEFORE` in the configuration of each member instead.
 *
 * @returns whether the database is a cluster whose members all take writes
 */
export async function causalReads(dataSource: DataSource): Promise<boolean> {
  const session = await clusterSession(dataSource);
  if (!session) return false;
  if (session.missing && !waiting.has(dataSource)) {
    const { name, value } = session.missing;
    waiting.add(dataSource);
    // a plain number: what stands between this module and the database may parse it
    const literal = typeof value === 'number' ? value : `'${value}'`;
    if (onEachConnection(dataSource, `SET SESSION ${name} = ${literal}`)) {
      new Logger('RoomKeysModule').log(
        `The database is a ${session.kind} with ${session.isMultiPrimary ? 'several primaries' : 'one primary'}: connections use ${name}=${value}.`,
      );
    }
  }
  return session.isMultiPrimary;
}

/** @throws Error with one sentence that says what to set, where members take writes and reads do not wait for them */
export async function checkCausalReads(
  dataSource: DataSource,
): Promise<ClusterSession | undefined> {
  const session = await clusterSession(dataSource);
  // with one primary, reads lag only for the moment after a failover
  if (!session?.isMultiPrimary || !session.missing) return session;
  const { name, value } = session.missing;
  throw new Error(
    `RoomKeysModule: a member of your ${session.kind} may not yet have applied what was stored through another. Call prepareDataSource() with your DataSource once it is initialized, or set ${name}=${value} in the configuration of each member.`,
  );
}

/** 1 statement; undefined where there is no cluster. */
async function clusterSession(dataSource: DataSource): Promise<ClusterSession | undefined> {
  if (!['mysql', 'mariadb'].includes(dataSource.options.type)) return undefined;
  const values = await variables(dataSource, [
    'wsrep_on',
    'wsrep_sync_wait',
    'group_replication_consistency',
    'group_replication_single_primary_mode',
  ]);
  if (values.get('wsrep_on') === 'ON') {
    const syncWait = Number(values.get('wsrep_sync_wait'));
    const missing =
      (syncWait & READS) === 0 ? { name: 'wsrep_sync_wait', value: syncWait | READS } : undefined;
    return { kind: 'Galera cluster', isMultiPrimary: true, missing };
  }
  const consistency = values.get('group_replication_consistency');
  if (consistency === undefined) return undefined;
  const isMultiPrimary = values.get('group_replication_single_primary_mode') === 'OFF';
  const value = isMultiPrimary
    ? WITH_READS[consistency]
    : consistency === 'EVENTUAL' && 'BEFORE_ON_PRIMARY_FAILOVER';
  const missing = value ? { name: 'group_replication_consistency', value } : undefined;
  return { kind: 'MySQL group', isMultiPrimary, missing };
}

/** 1 statement; without those that the database does not have. */
async function variables(dataSource: DataSource, names: string[]): Promise<Map<string, string>> {
  const rows = await dataSource.query<{ Variable_name: string; Value: string }[]>(
    `SHOW VARIABLES WHERE Variable_name IN ('${names.join("', '")}')`,
  );
  return new Map(rows.map((row) => [row.Variable_name, row.Value]));
}
