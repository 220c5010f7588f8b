import { DataSource, type QueryRunner } from 'typeorm';
import { familyOf } from './database-family.js';
import { Limiter } from './limiter.js';
import { straightRunner } from './straight-runner.js';
import type { Transactions } from './transactions.js';

type Row = Record<string, unknown>;

/** One moment's state of the database: every query sees the same, whatever is written meanwhile. */
export interface Snapshot {
  query(sql: string, parameters: unknown[]): Promise<Row[]>;
  close(): Promise<void>;
  /** Nobody else is served before it is closed: read what is needed, and close it. */
  holdsUpOthers?: true;
}

/**
 * Opens a snapshot for reading: on MySQL a transaction that takes no lock, on SQLite one on a second
 * connection, and where that cannot be, the single connection itself.
 *
 * @param who reads: nobody has more than a half of the snapshots that can be open at once
 * @param options.patienceMs how long a query may wait for its answer, in milliseconds. Default: that of a request
 * @param options.readsAtOnce that one which {@link Snapshot.holdsUpOthers} is read and closed without a wait for
 *   anything else. Without it, such a one is of one moment only as long as no other process writes. Default: false
 */
export async function openSnapshot(
  dataSource: DataSource,
  transactions: Transactions,
  who: string,
  options: { patienceMs?: number; readsAtOnce?: boolean } = {},
): Promise<Snapshot> {
  const leave = await limiterOf(dataSource).enter(who);
  try {
    const snapshot = await open(dataSource, transactions, options);
    return { ...snapshot, close: () => snapshot.close().finally(leave) };
  } catch (error) {
    leave();
    throw error;
  }
}

/** How many snapshots are open at the moment, and how many wait for a place. */
export function snapshotsOf(dataSource: DataSource): { open: number; waiting: number } {
  const limiter = limiters.get(dataSource);
  return { open: limiter?.inside ?? 0, waiting: limiter?.queued ?? 0 };
}

/** A snapshot holds a connection for as long as its reader takes: some must stay for everybody else. */
const CONNECTIONS_LEFT = 2;
const WAIT_FOR_PLACE_MS = 10_000;
const limiters = new WeakMap<DataSource, Limiter>();

function limiterOf(dataSource: DataSource): Limiter {
  let limiter = limiters.get(dataSource);
  if (!limiter) {
    const { poolSize, extra } = dataSource.options as {
      poolSize?: number;
      extra?: { connectionLimit?: number };
    };
    // ten is mysql2's own
    const connections = extra?.connectionLimit ?? poolSize ?? 10;
    limiter = new Limiter(Math.max(1, connections - CONNECTIONS_LEFT), WAIT_FOR_PLACE_MS);
    limiters.set(dataSource, limiter);
  }
  return limiter;
}

function open(
  dataSource: DataSource,
  transactions: Transactions,
  { patienceMs, readsAtOnce = false }: { patienceMs?: number; readsAtOnce?: boolean },
): Promise<Snapshot> {
  if (familyOf(dataSource.options.type) === 'mysql') {
    return inReadTransaction(straightRunner(dataSource, patienceMs), 'REPEATABLE READ');
  }
  return openSqliteSnapshot(dataSource, transactions, readsAtOnce);
}

async function inReadTransaction(
  runner: QueryRunner,
  isolation?: 'REPEATABLE READ',
): Promise<Snapshot> {
  const close = async () => {
    await runner.rollbackTransaction().catch(() => undefined);
    await runner.release();
  };
  try {
    await runner.startTransaction(isolation);
  } catch (error) {
    await runner.release();
    throw error;
  }
  return {
    query: async (sql, parameters) => (await runner.query(sql, parameters)) as Row[],
    close,
  };
}

async function openSqliteSnapshot(
  dataSource: DataSource,
  transactions: Transactions,
  readsAtOnce: boolean,
): Promise<Snapshot> {
  const options = dataSource.options;
  if (options.type !== 'better-sqlite3' || !(await transactions.single(isWalFile))) {
    return holdingTheConnection(transactions, readsAtOnce);
  }
  // The one exception to using the host's connections only: TypeORM has a single one for SQLite,
  // and a restore that holds it would hold up everybody.
  const reader = await new DataSource({
    ...options,
    entities: [],
    migrations: [],
    subscribers: [],
    synchronize: false,
    dropSchema: false,
    migrationsRun: false,
    cache: false,
    readonly: true,
    fileMustExist: true,
    enableWAL: false,
  }).initialize();
  try {
    const snapshot = await inReadTransaction(reader.createQueryRunner());
    return {
      ...snapshot,
      close: async () => {
        await snapshot.close();
        await reader.destroy();
      },
    };
  } catch (error) {
    await reader.destroy();
    throw error;
  }
}

/** In memory, or without a write-ahead log, a second connection is not possible or blocks writers. */
async function isWalFile(runner: QueryRunner): Promise<boolean> {
  const [row] = (await runner.query('PRAGMA journal_mode')) as Row[];
  return row?.journal_mode === 'wal';
}

/**
 * Without a write-ahead log another process may write between two statements, and a transaction keeps it
 * from that. The host's statements share the connection, and would be part of it: it is over before they
 * have their turn, as are those that write, since nothing in it waits for more than SQLite.
 */
async function holdingTheConnection(
  transactions: Transactions,
  inTransaction: boolean,
): Promise<Snapshot> {
  return new Promise((resolve, reject) => {
    let isClosed = false;
    const hold = (runner: QueryRunner) =>
      new Promise<void>((release) => {
        // nobody is there any more for whom it would be begun again
        if (isClosed) {
          release();
          return;
        }
        resolve({
          holdsUpOthers: true,
          query: async (sql, parameters) => (await runner.query(sql, parameters)) as Row[],
          close: () => {
            isClosed = true;
            release();
            return over;
          },
        });
      });
    const held = inTransaction ? transactions.run(hold) : transactions.single(hold);
    const over = held.catch(reject);
  });
}
