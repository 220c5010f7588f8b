import { EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PoolConnection } from 'mysql2';
import type mysql from 'mysql2/promise';
import type { DataSource } from 'typeorm';
import { type ClusterNode, runningStatements } from './database-cluster.js';

/** Work that is held up at a statement until it is released. */
export interface Blockade {
  /** Resolves when a statement of that kind is about to be sent. */
  arrived: Promise<unknown>;
  goOn: () => void;
}

/** Holds up whatever a DataSource is asked for from now on at the first statement of a kind. */
export function holdAt(dataSource: DataSource, statement: RegExp): Blockade {
  const gate = new EventEmitter();
  const arrived = once(gate, 'arrived');
  const opened = once(gate, 'open');
  const create = dataSource.createQueryRunner.bind(dataSource);
  const held = new Set<PoolConnection>();
  // the module sends its statements on the connection itself
  const hold = (connection: PoolConnection) => {
    if (held.has(connection)) return;
    held.add(connection);
    const send = connection.query.bind(connection) as (...parameters: unknown[]) => void;
    connection.query = ((...parameters: [string | { sql: string }, ...unknown[]]) => {
      const [first] = parameters;
      if (!statement.test(typeof first === 'string' ? first : first.sql)) {
        send(...parameters);
        return;
      }
      gate.emit('arrived');
      void opened.then(() => {
        send(...parameters);
      });
    }) as PoolConnection['query'];
  };
  dataSource.createQueryRunner = (mode) => {
    const runner = create(mode);
    const connect = runner.connect.bind(runner);
    runner.connect = async () => {
      const connection = (await connect()) as PoolConnection;
      hold(connection);
      return connection;
    };
    return runner;
  };
  return {
    arrived,
    goOn: () => {
      dataSource.createQueryRunner = create;
      // what it has of its own goes, that of its class is back
      for (const connection of held) delete (connection as Partial<PoolConnection>).query;
      gate.emit('open');
    },
  };
}

/** An operation through one node. */
export interface Participant {
  node: ClusterNode;
  dataSource: DataSource;
  operation: () => Promise<unknown>;
}

/**
 * Has transactions on several nodes commit so that none of the nodes knows of another's when it sends
 * its own: another node, whose word it takes to put them in order, stands still until all of them are sent.
 *
 * @returns what became of the operations
 */
export async function commitAtOnce(
  participants: readonly Participant[],
  another: ClusterNode,
): Promise<PromiseSettledResult<unknown>[]> {
  const holds = participants.map(({ dataSource }) => holdAt(dataSource, /^COMMIT\b/));
  const operations = participants.map(({ operation }) => operation());
  const running = Promise.allSettled(operations);
  const first = await Promise.race([
    Promise.all(holds.map(({ arrived }) => arrived)).then(() => 'at COMMIT'),
    running,
  ]);
  if (first !== 'at COMMIT') throw new Error(`Over before COMMIT: ${JSON.stringify(first)}`);
  another.signal('SIGSTOP');
  try {
    for (const { goOn } of holds) goOn();
    await Promise.all(
      participants.map(({ node }, index) =>
        // one that has changed nothing needs no confirmation, and is done
        Promise.race([node.connected(isCommitting), Promise.allSettled([operations[index]])]),
      ),
    );
  } finally {
    another.signal('SIGCONT');
  }
  return running;
}

/** Resolves when a COMMIT has been sent to the other nodes. */
async function isCommitting(connection: mysql.Connection): Promise<void> {
  // a node that stands still for longer is taken for dead
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    const running = await runningStatements(connection);
    if (running.some((statement) => statement.startsWith('COMMIT'))) return;
    await sleep(5);
  }
  throw new Error('No COMMIT is on its way');
}
