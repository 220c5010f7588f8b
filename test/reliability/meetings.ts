import { EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DataSource, QueryRunner } from 'typeorm';
import type mysql from 'mysql2/promise';
import type { GaleraNode } from './galera.js';

/** Work that is held up at a statement until it is told to go on. */
export interface Hold {
  /** Resolves when a statement of that kind is about to be sent. */
  arrived: Promise<unknown>;
  goOn: () => void;
}

/** Holds up whatever a DataSource is asked for from now on at the first statement of a kind. */
export function holdAt(dataSource: DataSource, statement: RegExp): Hold {
  const gate = new EventEmitter();
  const arrived = once(gate, 'arrived');
  const opened = once(gate, 'open');
  const create = dataSource.createQueryRunner.bind(dataSource);
  dataSource.createQueryRunner = (mode) => {
    const runner = create(mode);
    let run = runner.query.bind(runner);
    const query: QueryRunner['query'] = async (sql: string, ...rest: [unknown[]?, true?]) => {
      if (statement.test(sql)) {
        gate.emit('arrived');
        await opened;
      }
      return run(sql, ...(rest as []));
    };
    // the module may put a function of its own there
    Object.defineProperty(runner, 'query', {
      get: () => query,
      set: (own: QueryRunner['query']) => (run = own),
    });
    return runner;
  };
  return {
    arrived,
    goOn: () => {
      dataSource.createQueryRunner = create;
      gate.emit('open');
    },
  };
}

/** An operation through one node. */
export interface Participant {
  node: GaleraNode;
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
  another: GaleraNode,
): Promise<PromiseSettledResult<unknown>[]> {
  const holds = participants.map(({ dataSource }) => holdAt(dataSource, /^COMMIT$/));
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
        // one that has changed nothing needs nobody's word, and is through
        Promise.race([node.connected(isCommitting), operations[index]]),
      ),
    );
  } finally {
    another.signal('SIGCONT');
  }
  return running;
}

/** Resolves when a COMMIT has been sent to the other nodes, or after longer than that takes. */
async function isCommitting(connection: mysql.Connection): Promise<void> {
  // a node that stands still for longer is taken for dead
  const deadline = Date.now() + 3000;
  while (Date.now() < deadline) {
    const [rows] = await connection.query<mysql.RowDataPacket[]>(
      "SELECT state FROM information_schema.processlist WHERE info = 'COMMIT'",
    );
    if (rows.length > 0) return;
    await sleep(5);
  }
}
