/** The host's pool of mysql2, by its public events. */
import type { Duplex } from 'node:stream';
import type { Pool, PoolConnection } from 'mysql2';
import type { DataSource } from 'typeorm';
import type { ConnectionCounts } from '../../room-key.js';

/** The pool of a DataSource; undefined with `replication`, where TypeORM has a cluster of pools. */
function poolOf({ driver }: DataSource): Pool | undefined {
  return (driver as { pool?: Pool }).pool;
}

/**
 * Sends a statement on each connection of a pool before it is lent for the first time.
 *
 * @returns whether the DataSource has a pool of which that can be promised
 */
export function onEachConnection(dataSource: DataSource, statement: string): boolean {
  const pool = poolOf(dataSource);
  const { extra } = dataSource.options as { extra?: { resetOnRelease?: boolean } };
  // what mysql2 resets it also hands on without an event
  if (!pool || extra?.resetOnRelease) return false;
  const prepared = new WeakSet<PoolConnection>();
  // sent before the pool hands the connection out, so that it comes before any other statement
  pool.on('acquire', (connection) => {
    if (prepared.has(connection)) return;
    prepared.add(connection);
    connection.query(statement, (error) => {
      // what was to be done after it fails as if the database had gone away
      if (error) discard(connection, error);
    });
  });
  return true;
}

/** The connections of a pool that are not lent, by what its events say of them. */
const idle = new WeakMap<Pool, Set<PoolConnection>>();

/** Follows which connections of a pool are idle, from now on. */
export function watchIdle(dataSource: DataSource): void {
  const pool = poolOf(dataSource);
  if (!pool || idle.has(pool)) return;
  const connections = new Set<PoolConnection>();
  idle.set(pool, connections);
  pool.on('release', (connection) => connections.add(connection));
  pool.on('acquire', (connection) => connections.delete(connection));
}

/** Closes the connections that are not lent. */
export function closeIdle(dataSource: DataSource): void {
  const pool = poolOf(dataSource);
  const connections = pool && idle.get(pool);
  for (const connection of connections ?? []) discard(connection);
  connections?.clear();
}

/** What mysql2 keeps of its pool. It has no public word for these, and no event for a connection that is lost. */
interface PoolState {
  _allConnections: { length: number };
  _freeConnections: { length: number };
  _connectionQueue: { length: number };
  config: { connectionLimit: number };
}

/** The connections of a pool; undefined with `replication`. */
export function mysqlConnectionCounts(dataSource: DataSource): ConnectionCounts | undefined {
  const pool = poolOf(dataSource) as unknown as PoolState | undefined;
  if (!pool) return undefined;
  const free = pool._freeConnections.length;
  return {
    used: pool._allConnections.length - free,
    free,
    waiting: pool._connectionQueue.length,
    max: pool.config.connectionLimit,
  };
}

/** Takes a connection out of the pool permanently. */
export function discard(connection: PoolConnection, error?: Error): void {
  connection.destroy();
  // A private part of mysql2: its `destroy` says goodbye, and waits for as long as nothing answers.
  (connection as { stream?: Duplex }).stream?.destroy(error);
}
