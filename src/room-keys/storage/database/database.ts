import { setTimeout } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { TransactionConflictError } from '../../storage.errors.js';
import type { Activity } from '../../room-key.js';
import type { RoomKeysConflictEvent } from '../../room-keys.events.js';
import type { Connection, Executor, Row, Snapshot, SqlValue } from './connection.js';
import { type Dialect, tableNames, type Tables } from './dialect.js';
import { dialectOf } from './dialects.js';
import { asStorageError, conflictCode } from './errors.js';
import { afterCommit, type HostTransaction, runnerOf } from './host-transaction.js';
import { inPlace, onePlace, type Places, sharedPlaces } from './places.js';
import { type RestoreReader, Restores } from './restores.js';
import { timeouts } from './timeouts.js';

/** How often a transaction that was aborted in favour of another is retried before the caller gets an error. */
const ATTEMPTS = 10;
/** After this no new attempt is begun. */
const RETRY_MS = 20_000;
/** Of ten connections a host keeps three, unless an option says otherwise. */
const SHARE = 0.7;
const SAVEPOINT = 'room_keys_joined';

/** A transaction that the database gave up in favour of another. */
export type Conflict = Omit<RoomKeysConflictEvent, 'type'>;

/** For whom work is done that no user asked for; it waits for its turn as a user does. */
export const THE_SERVER = '';

/**
 * The way to the database: all instances of the module on one DataSource share it. It limits how many
 * connections of the pool are in use at once, and gives them to users in turn. A user's changes wait in this
 * process, without a connection: in the database they would wait for each other all the same.
 */
export class Database {
  private static readonly known = new WeakMap<DataSource, Database>();

  static of(dataSource: DataSource): Database {
    let found = this.known.get(dataSource);
    if (!found) this.known.set(dataSource, (found = new Database(dataSource)));
    return found;
  }

  readonly dialect: Dialect;
  readonly tables: Tables;
  private readonly executor: Executor;
  private places!: Places;
  private restores!: Restores;

  private constructor(private readonly dataSource: DataSource) {
    const { options } = dataSource;
    this.dialect = dialectOf(options.type);
    this.tables = tableNames(options.entityPrefix ?? '', (name) =>
      this.dialect.table(name, dataSource),
    );
    this.executor = this.dialect.executor(dataSource);
    this.limitConnections(Math.floor(this.dialect.connectionsOf(options) * SHARE));
  }

  /** @param connections of the pool that may be in use at once, 1 at least; to be said before anything is read */
  limitConnections(connections: number): void {
    this.places = this.dialect.worksElsewhere ? sharedPlaces(Math.max(1, connections)) : onePlace();
    this.restores = new Restores(this.places.restores, this.places.restoresUnderWay);
  }

  /**
   * Runs `work` in a transaction that can write, from its start again on a deadlock, a lock timeout, a duplicate
   * key, an outdated snapshot or a busy database: `work` must have no effect but through its connection.
   *
   * @param user whose changes it waits for
   * @param onConflict called with each conflict; it must not throw
   * @throws TooManyWaitingError, StorageUnavailableError, and what `work` throws
   */
  change<T>(
    user: string,
    work: (connection: Connection) => Promise<T>,
    onConflict?: (conflict: Conflict) => void,
  ): Promise<T> {
    const attempt = () => this.executor.transaction(work, timeouts.requestMs);
    // on a single connection reads have their turns between two attempts
    const inTurn = this.dialect.worksElsewhere
      ? attempt
      : () => inPlace(this.places.reads, user, attempt);
    return translated(inPlace(this.places.changes, user, () => retried(inTurn, onConflict)));
  }

  /**
   * Runs `work` in a transaction of the host: at once, without a queue or retries, and rolled back by itself if it
   * throws. Its reads must lock: the host's transaction may see a state of long ago.
   *
   * @param onCommit called when the host has committed
   * @throws TransactionConflictError where the database gives the host's transaction up in favour of another
   */
  async joined<T>(
    transaction: HostTransaction,
    work: (connection: Connection) => Promise<T>,
    onCommit: () => void,
  ): Promise<T> {
    const runner = runnerOf(transaction, this.dataSource);
    const joined = async (connection: Connection) => {
      await connection.execute(`SAVEPOINT ${SAVEPOINT}`);
      try {
        // on SQLite a transaction that has read before another process wrote can write no more: it fails here
        await connection.execute(`DELETE FROM ${this.tables.keySets} WHERE 1 = 0`);
        const result = await work(connection);
        await connection.execute(`RELEASE SAVEPOINT ${SAVEPOINT}`);
        return result;
      } catch (error) {
        // gone with the whole transaction, where that was the database's answer
        await connection.execute(`ROLLBACK TO SAVEPOINT ${SAVEPOINT}`).catch(() => undefined);
        throw error;
      }
    };
    try {
      const result = await this.executor.joined(runner, joined, timeouts.requestMs);
      afterCommit(runner, this.dataSource, onCommit);
      return result;
    } catch (error) {
      const code = conflictCode(error);
      throw code === undefined
        ? asStorageError(error)
        : new TransactionConflictError(code, error as Error);
    }
  }

  /** Fails soon if the caller may be in a transaction of the host that blocks this one for ever. */
  outsideOfHost(): Promise<void> {
    return translated(this.executor.outsideOfHost());
  }

  /** Whether changes of the user are under way or wait in this process. */
  isChanging(user: string): boolean {
    return this.places.changes.has(user);
  }

  /**
   * Runs single statements that read, each its own transaction, on a connection of the primary. In a session whose
   * transactions are SERIALIZABLE even they can give way to others, and are begun again.
   *
   * @param user whose reads it waits for
   * @param timeoutMs how long a connection, and the answer to each statement, may take
   * @throws TooManyWaitingError, StorageUnavailableError, and what `work` throws
   */
  read<T>(
    user: string,
    work: (connection: Connection) => Promise<T>,
    timeoutMs = timeouts.requestMs,
  ): Promise<T> {
    return translated(
      inPlace(this.places.reads, user, () => retried(() => this.executor.single(work, timeoutMs))),
    );
  }

  /** 1 statement that reads, as {@link read} does. */
  rows(
    user: string,
    sql: string,
    parameters?: readonly SqlValue[],
    timeoutMs?: number,
  ): Promise<Row[]> {
    return this.read(user, (connection) => connection.rows(sql, parameters), timeoutMs);
  }

  /** As {@link read}, past all queues: for a health check. */
  unqueued<T>(work: (connection: Connection) => Promise<T>, timeoutMs: number): Promise<T> {
    return translated(this.executor.single(work, timeoutMs));
  }

  /** Begins a restore, in turn with those of other users: see {@link Restores}. */
  restore(user: string): Promise<RestoreReader> {
    return translated(
      this.restores.begin(
        user,
        async () => withStorageErrors(await this.open(user, timeouts.requestMs, true)),
        (work) => this.read(user, work),
      ),
    );
  }

  /** Opens a consistent snapshot for an operator. */
  snapshot(timeoutMs = timeouts.requestMs): Promise<Snapshot> {
    return translated(this.open(THE_SERVER, timeoutMs, false));
  }

  /** What is under way and what waits in this process. */
  get activity(): Activity {
    const { changes, reads } = this.places;
    return {
      restores: this.restores.count,
      restoresWaiting: this.restores.waiting,
      transactionsWaiting: changes.waiting,
      readsWaiting: reads === changes ? 0 : reads.waiting,
      connections: this.dialect.connectionCounts(this.dataSource),
    };
  }

  private async open(user: string, timeoutMs: number, readsAtOnce: boolean): Promise<Snapshot> {
    if (this.dialect.worksElsewhere) return this.executor.snapshot(timeoutMs, readsAtOnce);
    const leave = await this.places.reads.acquire(user);
    try {
      const snapshot = await this.executor.snapshot(timeoutMs, readsAtOnce);
      if (snapshot.blocksOthers)
        return { ...snapshot, close: () => snapshot.close().finally(leave) };
      leave();
      return snapshot;
    } catch (error) {
      leave();
      throw error;
    }
  }
}

async function retried<T>(
  transaction: () => Promise<T>,
  onConflict?: (conflict: Conflict) => void,
): Promise<T> {
  const deadline = Date.now() + RETRY_MS;
  for (let attempt = 1; ; attempt++) {
    try {
      return await transaction();
    } catch (error) {
      const code = conflictCode(error);
      if (code === undefined) throw error;
      const gaveUp = attempt === ATTEMPTS || Date.now() > deadline;
      onConflict?.({ code, attempt, gaveUp });
      if (gaveUp) throw error;
      await setTimeout(Math.random() * 10 * 2 ** Math.min(attempt, 5));
    }
  }
}

/** The snapshot, whose reads fail as all others do. */
const withStorageErrors = (snapshot: Snapshot): Snapshot => ({
  ...snapshot,
  rows: (sql, parameters) => translated(snapshot.rows(sql, parameters)),
  rawRows: (sql, parameters, shape) => translated(snapshot.rawRows(sql, parameters, shape)),
});

async function translated<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw asStorageError(error);
  }
}
