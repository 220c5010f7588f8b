/** Settings of MySQL and MariaDB that this module cannot make up for, and those that it sets for its connections. */
import { Logger } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { checkCausalReads } from './causal-reads.js';

/** @throws Error with one sentence that says what to set, for a database on which promises would not hold */
export async function checkMysqlSettings(dataSource: DataSource): Promise<void> {
  await checkBinaryLog(dataSource);
  await checkCausalReads(dataSource);
  warnOfLostNodes(dataSource);
}

/** InnoDB refuses each statement that changes rows then, the first migration included. */
async function checkBinaryLog(dataSource: DataSource): Promise<void> {
  const rows = await dataSource.query<{ Variable_name: string; Value: string }[]>(
    "SHOW VARIABLES WHERE Variable_name IN ('log_bin', 'binlog_format', 'tx_isolation', 'transaction_isolation')",
  );
  const values = new Map(rows.map((row) => [row.Variable_name, row.Value]));
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
