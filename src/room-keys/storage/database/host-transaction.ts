/** A transaction of the host, which the module joins and the host ends. */
import type { DataSource, EntityManager, EntitySubscriberInterface, QueryRunner } from 'typeorm';

/**
 * A transaction of the host: the EntityManager of `dataSource.transaction`, or the QueryRunner that began it.
 *
 * @publicApi
 */
export type HostTransaction = EntityManager | QueryRunner;

/** A transaction of the host that a change joins, which costs 3 more statements, and what follows its commit. */
export interface Joining {
  transaction: HostTransaction;
  onCommit: () => void;
}

/** @throws Error with one sentence if it is not a transaction of the DataSource that has the tables */
export function runnerOf(transaction: HostTransaction, dataSource: DataSource): QueryRunner {
  const runner = 'startTransaction' in transaction ? transaction : transaction.queryRunner;
  if (!runner?.isTransactionActive || runner.isReleased) {
    throw new Error(
      'RoomKeysService: there is no transaction to join. Pass the EntityManager of dataSource.transaction(), or a QueryRunner after startTransaction().',
    );
  }
  // TypeORM 1 calls it `dataSource`, TypeORM 0.3 `connection`
  const { dataSource: its, connection } = runner as {
    dataSource?: DataSource;
    connection: DataSource;
  };
  if ((its ?? connection) !== dataSource) {
    throw new Error(
      'RoomKeysService: the transaction belongs to another DataSource than the tables of RoomKeysModule. Begin it on theirs.',
    );
  }
  return runner;
}

/** Calls `act` once the transaction is committed; never if it is rolled back, or ended past TypeORM. */
export function afterCommit(runner: QueryRunner, dataSource: DataSource, act: () => void): void {
  const ended = ({ queryRunner }: { queryRunner: QueryRunner }, isCommitted: boolean) => {
    // a savepoint of the transaction ends too
    if (queryRunner !== runner || runner.isTransactionActive) return;
    // not while TypeORM goes through the list
    queueMicrotask(() => {
      const at = dataSource.subscribers.indexOf(subscriber);
      if (at !== -1) dataSource.subscribers.splice(at, 1);
      if (isCommitted) act();
    });
  };
  const subscriber: EntitySubscriberInterface = {
    afterTransactionCommit: (event) => {
      ended(event, true);
    },
    afterTransactionRollback: (event) => {
      ended(event, false);
    },
  };
  dataSource.subscribers.push(subscriber);
}
