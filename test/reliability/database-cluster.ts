import type mysql from 'mysql2/promise';

/** A database of several servers on this machine. */
export interface DatabaseCluster {
  readonly nodes: readonly ClusterNode[];
  /** Goes with the cluster; what belongs to it may be kept there too. */
  readonly folder: string;
  /** From now on the nodes take one that says nothing for so many seconds for dead. */
  suspectAfter: (seconds: number) => Promise<void>;
  /** As at the start: a node that gets no time on a busy machine is only slow, and tests have nodes stand still. */
  suspectLate: () => Promise<void>;
  /** The node to kill, so that all of them had their turn, or those that matter. */
  victim: (turn: number) => Promise<ClusterNode>;
  /** For `work`, a node takes no statements of the servers, as one that the others have excluded. */
  excluded: (node: ClusterNode, work: () => Promise<void>) => Promise<void>;
  stop: () => Promise<void>;
}

/** One of its servers, and the processes that it is one after the other. */
export interface ClusterNode {
  readonly name: string;
  /** Where clients reach it. */
  readonly at: string;
  /** Resolves when it takes statements, and is in step with the others. */
  synced: () => Promise<void>;
  /** Starts it as its machine would; resolves when it is {@link synced}. */
  start: () => Promise<void>;
  /** `kill -9`; resolves when it is gone. */
  kill: () => Promise<void>;
  signal: (signal: NodeJS.Signals) => void;
  /** A connection to this node, for `work`. */
  connected: <T>(work: (connection: mysql.Connection) => Promise<T>) => Promise<T>;
}

/** The statements that a node is carrying out for others. */
export async function runningStatements(connection: mysql.Connection): Promise<string[]> {
  const [rows] = await connection.query<mysql.RowDataPacket[]>('SHOW FULL PROCESSLIST');
  return rows
    .filter(({ Command, db }) => Command === 'Query' && db !== null)
    .map(({ Info }) => String(Info));
}
