import type { Duplex } from 'node:stream';
import type { PoolConnection } from 'mysql2';
import type { QueryRunner } from 'typeorm';
import { BusyError, NoAnswerError, withoutConnection } from './unavailable.errors.js';

/** How long one waits for the database, in milliseconds; tests are less patient. */
export const patience = {
  /**
   * For the answer to a statement of a request. More than the 50 seconds that InnoDB lets it wait for a
   * lock by default, so that it is the database that ends such a wait, in its own words, and what still
   * waits then has nobody at the other end. Less than the 60 seconds after which proxies give up, so that
   * the client hears from us that it is to come again.
   */
  requestMs: 55_000,
  /** For the answer to what an operator asks for: statements that go through whole tables take their time. */
  operatorMs: 60 * 60_000,
  /**
   * For a connection, be it one that others have or a new one: a little more than the 10 seconds in which
   * mysql2 makes one, since its word for a failure says more.
   */
  connectionMs: 15_000,
};

/**
 * The connection to MySQL or MariaDB that a query runner has from the pool. It is waited for within
 * bounds; so are its answers, since a host that is gone, or a network that is cut, ends no connection.
 * One that leads nowhere, or that is in the middle of a transaction, does not go back to the pool: it is
 * closed, and the pool makes another in its place.
 */
export class BorrowedConnection {
  private readonly take: () => Promise<PoolConnection>;
  private readonly giveBack: () => Promise<void>;
  private borrowing: Promise<PoolConnection> | undefined;
  private taken: Promise<PoolConnection> | undefined;
  private connection: PoolConnection | undefined;

  /**
   * @param runner whose `connect` and `release` this stands for from now on
   * @param patienceMs how long a statement may wait for its answer, in milliseconds
   */
  constructor(
    private readonly runner: QueryRunner,
    private readonly patienceMs: number,
  ) {
    this.take = runner.connect.bind(runner) as () => Promise<PoolConnection>;
    this.giveBack = runner.release.bind(runner);
  }

  /** @throws BusyError when none is to be had in time; whatever it throws is marked {@link withoutConnection} */
  connect(): Promise<PoolConnection> {
    return (this.borrowing ??= this.borrow().catch((error: unknown) => {
      throw withoutConnection(error);
    }));
  }

  /**
   * Waits for the answer to a statement that was sent on this connection.
   *
   * @throws NoAnswerError when it does not come in time; the connection is closed then
   */
  answer<T>(coming: Promise<T>): Promise<T> {
    return within(coming, this.patienceMs, () => {
      const error = new NoAnswerError('The database does not answer.');
      this.close(error);
      return error;
    });
  }

  /** Gives the connection back to the pool, as soon as there is one; safe in whatever state it is. */
  async release(): Promise<void> {
    // Whoever had it next would be in the same transaction, and it would end theirs.
    if (this.runner.isTransactionActive) this.close();
    await this.giveBack();
    // Nobody waits for it any more, but the pool counts it as lent as soon as it is there.
    if (!this.connection) this.taken?.then(() => this.giveBack()).catch(() => undefined);
  }

  private async borrow(): Promise<PoolConnection> {
    this.taken = this.take().then((connection) => {
      // mysql2 listens for one error, and Node ends the process at a second one that nobody hears: what
      // is wrong with a connection is told to whoever sends a statement on it
      if (connection.listenerCount('error') < 2) connection.on('error', () => undefined);
      return (this.connection = connection);
    });
    return within(
      this.taken,
      Math.min(patience.connectionMs, this.patienceMs),
      () => new BusyError('No connection to the database is to be had.'),
    );
  }

  private close(error?: Error): void {
    if (!this.connection) return;
    close(this.connection, error);
    if (!error) return;
    // Where one leads nowhere, so will those that nobody uses: each would cost a request its patience.
    const { pool } = this.runner.dataSource.driver as { pool?: Partial<IdleConnections> };
    const idle = pool?._freeConnections;
    if (!idle) return;
    for (let left = idle.length; left > 0; left -= 1) close(idle.get(0));
  }
}

/** What mysql2 keeps of its pool, and has no public word for; a cluster of pools has it elsewhere. */
interface IdleConnections {
  _freeConnections: { length: number; get: (index: number) => PoolConnection };
}

/** Takes a connection out of the pool, for good. */
function close(connection: PoolConnection & { stream?: Duplex }, error?: Error): void {
  connection.destroy();
  // mysql2 says goodbye, and waits for as long as nobody hears it
  connection.stream?.destroy(error);
}

/** Waits for a promise, and fails with what `late` makes when it takes longer. */
function within<T>(coming: Promise<T>, ms: number, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(late());
    }, ms);
    const inTime =
      <A>(settle: (outcome: A) => void) =>
      (outcome: A) => {
        clearTimeout(timer);
        settle(outcome);
      };
    coming.then(inTime(resolve), inTime(reject));
  });
}
