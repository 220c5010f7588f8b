import type { DataSource, QueryRunner } from 'typeorm';
import { type Connection, type Executor, type Snapshot, snapshotOf } from './connection.js';
import { BusyError, connectFailure } from './errors.js';
import type { LentConnection } from './lent-connection.js';
import { timeouts, within } from './timeouts.js';

type Prepare<Driver, Prepared> = (
  connection: Driver,
  runner: QueryRunner,
  timeoutMs: number,
) => Promise<Prepared>;

/**
 * Runs statements on connections of the host's pool (those of the primary), straight through the driver: what
 * TypeORM and the driver's promises do around each took a fifth of this process's time for an upload of one key.
 * TypeORM lends the connections.
 */
export class PooledExecutor<Driver> implements Executor {
  /**
   * @param prepare makes the connection ready; undefined for one that is not to be used, and that it has closed
   * @param join makes one ready that is in a transaction of the host, without anything that would end it
   */
  constructor(
    private readonly dataSource: DataSource,
    private readonly prepare: Prepare<Driver, LentConnection | undefined>,
    private readonly join: Prepare<Driver, LentConnection>,
  ) {}

  async single<T>(work: (connection: Connection) => Promise<T>, timeoutMs: number): Promise<T> {
    const connection = await this.acquire(timeoutMs);
    try {
      return await work(connection);
    } finally {
      await connection.release();
    }
  }

  async transaction<T>(
    work: (connection: Connection) => Promise<T>,
    timeoutMs: number,
  ): Promise<T> {
    const connection = await this.acquire(timeoutMs);
    try {
      await connection.beginToWrite();
      const result = await work(connection);
      await connection.commit();
      return result;
    } catch (error) {
      await connection.rollBack();
      throw error;
    } finally {
      await connection.release();
    }
  }

  async snapshot(timeoutMs: number): Promise<Snapshot> {
    const connection = await this.acquire(timeoutMs);
    const close = async () => {
      await connection.rollBack();
      await connection.release();
    };
    try {
      await connection.beginSnapshot();
    } catch (error) {
      await close();
      throw error;
    }
    return snapshotOf(connection, false, close);
  }

  async joined<T>(
    runner: QueryRunner,
    work: (connection: Connection) => Promise<T>,
    timeoutMs: number,
  ): Promise<T> {
    const connection = await this.join((await runner.connect()) as Driver, runner, timeoutMs);
    connection.isJoined = true;
    try {
      return await work(connection);
    } finally {
      await connection.leave();
    }
  }

  outsideOfHost(): Promise<void> {
    // the host's transaction has a connection of its own
    return Promise.resolve();
  }

  private async acquire(timeoutMs: number): Promise<LentConnection> {
    for (;;) {
      const runner = this.dataSource.createQueryRunner('master');
      const lending = runner.connect() as Promise<Driver>;
      let connection: Driver;
      try {
        connection = await within(
          lending,
          Math.min(timeouts.connectionMs, timeoutMs),
          () => new BusyError('No database connection available.'),
        );
      } catch (error) {
        // nothing waits for it any more, but the pool counts it as lent as soon as it opens
        lending.then(() => runner.release()).catch(() => undefined);
        throw connectFailure(error);
      }
      try {
        const lent = await this.prepare(connection, runner, timeoutMs);
        if (lent) return lent;
        await runner.release();
      } catch (error) {
        await runner.release();
        throw connectFailure(error);
      }
    }
  }
}
