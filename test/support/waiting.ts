import type { DataSource, QueryRunner } from 'typeorm';
import { timeouts } from '../../src/room-keys/storage/database/timeouts.js';
import { query } from './sql.js';

interface Pool {
  on: (name: 'acquire', then: (one: { query: (sql: string) => unknown }) => void) => void;
}

/** What a database says of the sessions in it. */
interface SessionSql {
  connections: string;
  waiting: Record<'SELECT' | 'INSERT', string>;
  end: (id: number) => string;
}

const inMysql = (like: string) =>
  `SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE '${like}'`;
// the text is that of a whole message, and cut off
const inPostgres = (first: string, afterBegin: string) =>
  `SELECT pid AS id FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
   AND (query LIKE '${first}%' OR query LIKE 'BEGIN%${afterBegin}%')`;

const mysqlSql: SessionSql = {
  connections: 'SELECT id FROM information_schema.processlist WHERE db = DATABASE()',
  waiting: { SELECT: inMysql('SELECT%FOR UPDATE'), INSERT: inMysql('INSERT INTO%') },
  end: (id) => `KILL ${id}`,
};

const SQL: Partial<Record<DataSource['options']['type'], SessionSql>> = {
  mysql: mysqlSql,
  mariadb: mysqlSql,
  postgres: {
    connections: `SELECT pid AS id FROM pg_stat_activity
                  WHERE datname = current_database() AND backend_type = 'client backend'`,
    waiting: {
      SELECT: inPostgres('SELECT', 'FOR UPDATE'),
      INSERT: inPostgres('INSERT INTO', 'INSERT INTO'),
    },
    end: (id) => `SELECT pg_terminate_backend(${id})`,
  },
};

/** The sessions of a database in which a locking read, or an INSERT, waits for what another one has locked. */
export async function waitingForLocks(
  on: DataSource | QueryRunner,
  statement: 'SELECT' | 'INSERT',
): Promise<number[]> {
  return idsOf(on, sqlFor(on).waiting[statement]);
}

/** How many connections to its database there are, the one that asks included. */
export async function countConnections(on: DataSource | QueryRunner): Promise<number> {
  return (await idsOf(on, sqlFor(on).connections)).length;
}

/** Ends a session as an operator does. */
export async function endSession(on: DataSource | QueryRunner, id: number): Promise<void> {
  await query(on, sqlFor(on).end(id));
}

async function idsOf(on: DataSource | QueryRunner, sql: string): Promise<number[]> {
  return (await query<{ id: unknown }>(on, sql)).map(({ id }) => Number(id));
}

function sqlFor(on: DataSource | QueryRunner): SessionSql {
  const { type } = 'dataSource' in on ? on.dataSource.options : on.options;
  const found = SQL[type];
  if (!found) throw new Error(`${type} has no sessions that could be listed`);
  return found;
}

/** Runs a statement on each connection of a pool before it is used. */
export function onEachConnection(dataSource: DataSource, statement: string): void {
  const { pool, master } = dataSource.driver as unknown as { pool?: Pool; master?: Pool };
  (pool ?? master)?.on('acquire', (connection) => void connection.query(statement));
}

/**
 * From now on a statement of the DataSource waits for a lock of another session for a second at most.
 *
 * @returns ends that where it holds for all DataSources
 */
export function giveUpEarly(dataSource: DataSource): () => void {
  const { driver, options } = dataSource;
  const { lockMs } = timeouts;
  if (options.type === 'better-sqlite3') {
    (
      driver as unknown as { databaseConnection: { pragma: (text: string) => unknown } }
    ).databaseConnection.pragma('busy_timeout = 1');
  } else if (options.type === 'postgres') timeouts.lockMs = 100;
  else onEachConnection(dataSource, 'SET SESSION innodb_lock_wait_timeout = 1');
  return () => {
    timeouts.lockMs = lockMs;
  };
}
