import type { PoolConnection } from 'mysql2';
import type { DataSource, QueryRunner } from 'typeorm';
import type { Executor } from './connection.js';
import { MysqlConnection } from './mysql-connection.js';
import { watchIdle } from './mysql-pool.js';
import { PooledExecutor } from './pooled.executor.js';

/** Runs statements through mysql2. */
export function mysqlExecutor(dataSource: DataSource): Executor {
  // MariaDB before 11.1 has another name for it; a proxy may give itself out for either
  let isolationVariable = 'transaction_isolation';
  const prepared =
    (isJoined: boolean) =>
    async (connection: PoolConnection, runner: QueryRunner, timeoutMs: number) => {
      watchIdle(dataSource);
      // mysql2 listens for one error, and Node ends the process at a second one that nothing listens for: what
      // is wrong with a connection is reported to the next statement on it
      if (connection.listenerCount('error') < 2) connection.on('error', () => undefined);
      const lent = new MysqlConnection(dataSource, runner, timeoutMs, connection);
      try {
        await lent.prepare(isolationVariable, isJoined);
      } catch (error) {
        if ((error as { code?: string }).code !== 'ER_UNKNOWN_SYSTEM_VARIABLE') throw error;
        isolationVariable = 'tx_isolation';
        await lent.prepare(isolationVariable, isJoined);
      }
      return lent;
    };
  return new PooledExecutor<PoolConnection>(dataSource, prepared(false), prepared(true));
}
