import type { PoolConnection } from 'mysql2';
import type { DataSource } from 'typeorm';
import type { Connection, Executor, Snapshot } from './connection.js';
import { BusyError, connectFailure } from './errors.js';
import { LentConnection } from './mysql-connection.js';
import { watchIdle } from './mysql-pool.js';
import { timeouts, within } from './timeouts.js';

/**
 * Runs statements on connections of the host's pool (those of the primary), straight through mysql2: what
 * TypeORM and mysql2's promises do around each took a fifth of this process's time for an upload of one key.
 * TypeORM lends the connections, and its logger receives each statement.
 */
export class MysqlExecutor implements Executor {
  /** MariaDB before 11.1 has another name for it; a proxy may give itself out for either. */
  private isolationVariable = 'transaction_isolation';

  constructor(private readonly dataSource: DataSource) {}

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
      await connection.begin('START TRANSACTION READ WRITE');
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
    let closed: Promise<void> | undefined;
    const close = async () => {
      await connection.rollBack();
      await connection.release();
    };
    try {
      if (!connection.session.isRepeatableRead) {
        await connection.execute('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
      }
      await connection.begin('START TRANSACTION READ ONLY');
    } catch (error) {
      await close();
      throw error;
    }
    return {
      blocksOthers: false,
      rows: (sql, parameters) => connection.rows(sql, parameters),
      close: () => (closed ??= close()),
    };
  }

  private async acquire(timeoutMs: number): Promise<LentConnection> {
    watchIdle(this.dataSource);
    const runner = this.dataSource.createQueryRunner('master');
    const lending = runner.connect() as Promise<PoolConnection>;
    let connection: PoolConnection;
    try {
      connection = await within(
        lending,
        Math.min(timeouts.connectionMs, timeoutMs),
        () => new BusyError('No database connection available.'),
      );
    } catch (error) {
      // nothing waits for it any more, but the pool counts it as lent as soon as it is there
      lending.then(() => runner.release()).catch(() => undefined);
      throw connectFailure(error);
    }
    // mysql2 listens for one error, and Node ends the process at a second one that nothing listens for: what
    // is wrong with a connection is reported to the next statement on it
    if (connection.listenerCount('error') < 2) connection.on('error', () => undefined);
    const lent = new LentConnection(this.dataSource, runner, connection, timeoutMs);
    try {
      await this.prepare(lent);
      return lent;
    } catch (error) {
      await lent.release();
      throw connectFailure(error);
    }
  }

  private async prepare(lent: LentConnection): Promise<void> {
    try {
      await lent.prepare(this.isolationVariable);
    } catch (error) {
      if ((error as { code?: string }).code !== 'ER_UNKNOWN_SYSTEM_VARIABLE') throw error;
      this.isolationVariable = 'tx_isolation';
      await lent.prepare(this.isolationVariable);
    }
  }
}
