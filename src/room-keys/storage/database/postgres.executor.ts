import type { PoolClient } from 'pg';
import type { DataSource, QueryRunner } from 'typeorm';
import type { Executor } from './connection.js';
import { PooledExecutor } from './pooled.executor.js';
import { PostgresConnection } from './postgres-connection.js';

/** Runs statements through pg. */
export function postgresExecutor(dataSource: DataSource): Executor {
  /** When each connection was last given back here, and when one was last found to lead nowhere. */
  const usedAt = new WeakMap<PoolClient, number>();
  let noAnswerAt = -Infinity;
  return new PooledExecutor<PoolClient>(
    dataSource,
    (client: PoolClient, runner: QueryRunner, timeoutMs: number) => {
      const usedBefore = usedAt.get(client);
      usedAt.set(client, performance.now());
      // where one leads nowhere, so do those that were idle then: each would cost a request its time limit
      const leadsNowhere = usedBefore !== undefined && usedBefore < noAnswerAt;
      // a transaction that the host left open, and that BEGIN would not end
      const isInTransaction = !['I', null, undefined].includes(transactionStatus(client));
      if (leadsNowhere || isInTransaction) {
        client.end().catch(() => undefined);
        return Promise.resolve(undefined);
      }
      return Promise.resolve(
        new PostgresConnection(dataSource, runner, timeoutMs, client, () => {
          noAnswerAt = performance.now();
        }),
      );
    },
  );
}

/** Undefined for a pg that does not tell, before 8.21. */
const transactionStatus = (client: PoolClient): string | null | undefined =>
  (client as Partial<PoolClient>).getTransactionStatus?.();
