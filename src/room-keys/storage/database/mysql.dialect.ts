import type { PoolConnection } from 'mysql2';
import type { DataSource, DataSourceOptions, QueryRunner } from 'typeorm';
import type { Executor } from './connection.js';
import { type Dialect, updateEach } from './dialect.js';
import { MysqlConnection } from './mysql-connection.js';
import { runMysqlMigrations } from './mysql-migrations.js';
import { mysqlConnectionCounts, onEachConnection, watchIdle } from './mysql-pool.js';
import { checkMysqlSettings } from './mysql-settings.js';
import { PooledExecutor } from './pooled.executor.js';
import { mysqlSyntax, SqlValues } from './sql-values.js';

/** mysql2's own default. */
const DEFAULT_CONNECTIONS = 10;
/** Of a pool without a limit, which mysql2 writes as 0. */
const UNLIMITED = 100;
/** Long enough for any change of the user on another server; what waits longer is begun again. */
const LOCK_WAIT_SECONDS = 3;

/** MySQL and MariaDB. */
export const mysqlDialect: Dialect = {
  id: 'mysql',
  executor: mysqlExecutor,

  runMigrations: runMysqlMigrations,
  limitLockWaits: (dataSource) => {
    onEachConnection(
      dataSource,
      `SET SESSION innodb_lock_wait_timeout = ${LOCK_WAIT_SECONDS}, lock_wait_timeout = ${LOCK_WAIT_SECONDS}`,
    );
  },
  connectionCounts: mysqlConnectionCounts,

  rowsPerStatement: 500,
  worksElsewhere: true,
  connectionsOf: (options: DataSourceOptions) => {
    const { poolSize, extra } = options as {
      poolSize?: number;
      extra?: { connectionLimit?: number };
    };
    const connections = extra?.connectionLimit ?? poolSize ?? DEFAULT_CONNECTIONS;
    return connections > 0 ? connections : UNLIMITED;
  },

  columnTypes: undefined,

  checkWritable: async (connection, { keySets }) => {
    const [row] = await connection.rows('SELECT CONCAT(@@global.read_only) AS read_only LIMIT 1');
    if (['0', 'OFF'].includes(row?.read_only as string)) return;
    // it does not hold for a user with the right to write all the same
    await connection.execute(`DELETE FROM ${keySets} WHERE 1 = 0`);
  },
  checkSettings: checkMysqlSettings,

  values: () => new SqlValues(mysqlSyntax),
  // whatever the sql_mode is
  quote: (name) => `\`${name}\``,
  table: (name) => `\`${name}\``,
  // in UTC: a local time is ambiguous for an hour in autumn
  now: "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)",
  forUpdate: ' FOR UPDATE',
  locksOneTable: false,
  greatest: (one, other) => `GREATEST(${one}, ${other})`,
  onConflict: () => 'ON DUPLICATE KEY UPDATE',
  // VALUES() is deprecated from MySQL 8.0.20 on, but MariaDB has no alternative
  inserted: (column) => `VALUES(${column})`,
  update: (one, other) => {
    if (!other) return updateEach(one);
    const set = [one, other].flatMap(({ alias, set }) =>
      Object.entries(set).map(([column, value]) => `${alias}.${column} = ${value}`),
    );
    return [
      [
        // LEFT: what is found in the other table decides nothing for the one
        `UPDATE ${one.table} AS ${one.alias} LEFT JOIN ${other.table} AS ${other.alias} ON ${other.where}
         SET ${set.join(', ')} WHERE ${one.where}`,
        [...other.parameters, ...one.parameters],
      ],
    ];
  },
  skipExisting: 'ON DUPLICATE KEY UPDATE key_set_id = key_set_id',
  returning: () => '',
  after: ({ roomNo, seq }) => ['(room_no = ? AND seq > ? OR room_no > ?)', [roomNo, seq, roomNo]],
  // For some seconds after many rows were added, MySQL counts few, and would rather sort all of them for each
  // page: 65 ms a page instead of 2, at 50,000 keys.
  inPrimaryKeyOrder: ' FORCE INDEX (PRIMARY)',
  deleteSome: async (connection, { table, where, parameters }, limit) => {
    const { affected } = await connection.execute(
      `DELETE FROM ${table} WHERE ${where} ORDER BY room_no, seq LIMIT ${limit}`,
      parameters,
    );
    return { rows: affected };
  },
  locksAreLocal: true,
};

/** Runs statements through mysql2. */
function mysqlExecutor(dataSource: DataSource): Executor {
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
