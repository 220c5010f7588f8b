import type { Pool, PoolClient } from 'pg';
import type { DataSource, DataSourceOptions, QueryRunner } from 'typeorm';
import type { Executor } from './connection.js';
import { type Dialect, type KeyPosition, updateEach } from './dialect.js';
import { PooledExecutor } from './pooled.executor.js';
import {
  PostgresConnection,
  type PostgresPool,
  type PostgresSession,
  StandbyError,
} from './postgres-connection.js';
import { runPostgresMigrations } from './postgres-migrations.js';
import { checkPostgresSettings } from './postgres-settings.js';
import { postgresSyntax, SqlValues } from './sql-values.js';

/** pg's own default. */
const DEFAULT_CONNECTIONS = 10;

const quote = (name: string) => `"${name.replaceAll('"', '""')}"`;

function connectionsOf(options: DataSourceOptions): number {
  const { poolSize, extra } = options as { poolSize?: number; extra?: { max?: number } };
  return extra?.max ?? poolSize ?? DEFAULT_CONNECTIONS;
}

/** Comes before every key. */
const FIRST: KeyPosition = { roomNo: -1, seq: -1 };

const later = (one: KeyPosition, other: KeyPosition): KeyPosition =>
  other.roomNo > one.roomNo || (other.roomNo === one.roomNo && other.seq > one.seq) ? other : one;

/** PostgreSQL. */
export const postgresDialect: Dialect = {
  id: 'postgres',
  executor: postgresExecutor,

  runMigrations: runPostgresMigrations,
  // the module limits the waits of its own transactions
  limitLockWaits: () => undefined,
  connectionCounts: ({ driver, options }) => {
    const { master } = driver as { master?: Pool };
    return (
      master && {
        used: master.totalCount - master.idleCount,
        free: master.idleCount,
        waiting: master.waitingCount,
        max: connectionsOf(options),
      }
    );
  },

  rowsPerStatement: 500,
  worksElsewhere: true,
  connectionsOf,

  columnTypes: {
    varbinary: 'bytea',
    binary: 'bytea',
    longtext: 'text',
    bigint: 'bigint',
    tinyint: 'smallint',
  },

  checkWritable: async (connection) => {
    const [row] = await connection.rows('SELECT pg_is_in_recovery()::text AS is_replica');
    if (row?.is_replica === 'true') throw new StandbyError();
  },
  checkSettings: checkPostgresSettings,

  values: () => new SqlValues(postgresSyntax),
  quote,
  table: (name, dataSource) => {
    const schema = schemaOf(dataSource);
    return schema === undefined ? quote(name) : `${quote(schema)}.${quote(name)}`;
  },
  now: 'CAST(FLOOR(EXTRACT(EPOCH FROM statement_timestamp()) * 1000) AS bigint)',
  forUpdate: ' FOR UPDATE',
  // rows joined to a row that was waited for are read as of before the wait
  locksOneTable: true,
  greatest: (one, other) => `GREATEST(${one}, ${other})`,
  onConflict: (primaryKey) => `ON CONFLICT (${primaryKey}) DO UPDATE SET`,
  inserted: (column) => `excluded.${column}`,
  update: updateEach,
  skipExisting: 'ON CONFLICT DO NOTHING',
  returning: (column) => ` RETURNING ${column}`,
  after: ({ roomNo, seq }) => ['(room_no, seq) > (?, ?)', [roomNo, seq]],
  inPrimaryKeyOrder: '',
  // Deleted rows stay in the index until a vacuum that no snapshot holds up: from the first key on, each step
  // would pass all that were deleted before.
  deleteSome: async (connection, { table, where, parameters }, limit, after = FIRST) => {
    const rows = await connection.rows(
      `DELETE FROM ${table} WHERE ctid = ANY (ARRAY(
         SELECT ctid FROM ${table} WHERE ${where} AND (room_no, seq) > (?, ?) ORDER BY room_no, seq LIMIT ${limit}
       )) RETURNING room_no, seq`,
      [...parameters, after.roomNo, after.seq],
    );
    const positions = rows.map((row) => ({ roomNo: Number(row.room_no), seq: Number(row.seq) }));
    return { rows: rows.length, last: positions.reduce(later, after) };
  },
  locksAreLocal: false,
};

/**
 * The schema of the tables: that of the DataSource's options, else the first one of the `search_path` when it
 * connected, so that no later change of a session's `search_path` leads to other tables.
 */
function schemaOf(dataSource: DataSource): string | undefined {
  const { schema } = dataSource.options as { schema?: string };
  const { searchSchema } = dataSource.driver as { searchSchema?: string };
  return schema ?? searchSchema;
}

/** Runs statements through pg. */
function postgresExecutor(dataSource: DataSource): Executor {
  let sessions = new WeakMap<PoolClient, PostgresSession>();
  /** When a connection was last found to lead nowhere. */
  let noAnswerAt = -Infinity;
  const pool: PostgresPool = {
    onNoAnswer: () => {
      noAnswerAt = performance.now();
    },
    onUnconfirmed: () => {
      sessions = new WeakMap();
    },
  };
  const connectionOf = (
    client: PoolClient,
    runner: QueryRunner,
    timeoutMs: number,
    session: PostgresSession,
  ) => new PostgresConnection(dataSource, runner, timeoutMs, client, session, pool);
  return new PooledExecutor<PoolClient>(
    dataSource,
    async (client: PoolClient, runner: QueryRunner, timeoutMs: number) => {
      const known = sessions.get(client);
      // where one leads nowhere, so do those that were idle then: each would cost a request its time limit
      const leadsNowhere = known !== undefined && known.usedAt < noAnswerAt;
      // a transaction that the host left open, and that BEGIN would not end
      const isInTransaction = !['I', null, undefined].includes(transactionStatus(client));
      if (leadsNowhere || isInTransaction) {
        client.end().catch(() => undefined);
        return undefined;
      }
      const session = known ?? { usedAt: 0, readsAreConfirmed: false };
      session.usedAt = performance.now();
      const connection = connectionOf(client, runner, timeoutMs, session);
      if (!known) {
        // a primary that becomes a standby ends its connections
        await connection.checkPrimary();
        sessions.set(client, session);
      }
      return connection;
    },
    // the host has chosen the server
    (client, runner, timeoutMs) =>
      Promise.resolve(
        connectionOf(client, runner, timeoutMs, { usedAt: 0, readsAreConfirmed: false }),
      ),
  );
}

/** Undefined for an older pg, which does not report it. */
const transactionStatus = (client: PoolClient): string | null | undefined =>
  (client as Partial<PoolClient>).getTransactionStatus?.();
