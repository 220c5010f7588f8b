import type { DataSource } from 'typeorm';
import type { ConnectionCounts } from './metrics.js';

/** What mysql2 keeps of its pool. It has no public word for these, and no event for a connection that is lost. */
interface MysqlPool {
  _allConnections: { length: number };
  _freeConnections: { length: number };
  _connectionQueue: { length: number };
  config: { connectionLimit: number };
}

/**
 * The connections of a DataSource, as they are when it is called.
 *
 * @param waiting how many short reads wait for their turn in this process
 */
export function connectionsOf(dataSource: DataSource, waiting: () => number): ConnectionCounts {
  if (dataSource.options.type === 'better-sqlite3')
    return { used: 1, free: 0, waiting: waiting(), max: 1 };
  const { pool } = dataSource.driver as unknown as { pool: MysqlPool };
  const free = pool._freeConnections.length;
  return {
    used: pool._allConnections.length - free,
    free,
    waiting: waiting() + pool._connectionQueue.length,
    max: pool.config.connectionLimit,
  };
}
