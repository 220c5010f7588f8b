import type { PoolClient } from 'pg';
import type { DataSource, QueryRunner } from 'typeorm';
import type { Executor } from './connection.js';
import { PooledExecutor } from './pooled.executor.js';
import {
  type PostgresPool,
  PostgresConnection,
  type PostgresSession,
} from './postgres-connection.js';

/** Runs statements through pg. */
export function postgresExecutor(dataSource: DataSource): Executor {
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
