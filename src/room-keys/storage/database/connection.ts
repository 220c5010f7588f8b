import type { QueryRunner } from 'typeorm';
import type { RawRows, RowShape } from './raw-rows.js';

/** A row as the driver returns it. */
export type Row = Record<string, unknown>;

/** What can stand for a `?` in a statement. A string is text in ASCII; other bytes are a Buffer. */
export type SqlValue = number | string | Buffer | null;

/** What reads: a connection, or a snapshot. */
export interface Reader {
  /** Rows of a statement that reads. */
  rows(sql: string, parameters?: readonly SqlValue[]): Promise<Row[]>;

  /** Rows of a statement that reads many large values, without an object for each row and a string for each text. */
  rawRows(sql: string, parameters: readonly SqlValue[], shape: RowShape): Promise<RawRows>;
}

/** One connection to the database; its statements are carried out in the order in which they are sent. */
export interface Connection extends Reader {
  /** A statement that writes. */
  execute(sql: string, parameters?: readonly SqlValue[]): Promise<Written>;

  /**
   * A statement of a transaction whose result is not needed. Where the connection takes several statements in one
   * message, it is sent with the next one, or with COMMIT, which then fails with its error: one round trip for all.
   */
  defer(sql: string, parameters?: readonly SqlValue[]): Promise<void>;

  /** The longest text in characters that one statement can hold, and the longest that a column can take. */
  readonly textLimits: TextLimits;

  /**
   * Whether what it reads is as safe as what it commits. After a crash PostgreSQL shows commits that its standby may
   * lack, and that a failover would lose.
   */
  readonly readsAreConfirmed: boolean;

  /** Whether it is in a transaction of the host, in which a read without a lock may see a state of long ago. */
  readonly isJoined?: boolean;
}

export interface Written {
  /** Rows that were inserted, updated or deleted. */
  affected: number;
  /** The number that the database gave to an inserted row; 0 where it gave none. */
  insertId: number;
}

export interface TextLimits {
  /** Characters of ASCII text that fit into one statement, however they have to be written there. */
  perStatement: number;
  /** Characters of ASCII text that a value can have. */
  perValue: number;
}

/** A consistent snapshot: every query sees the same state of the database, whatever is written meanwhile. */
export interface Snapshot extends Reader {
  /** Safe to call again. */
  close(): Promise<void>;
  /** Whether it keeps the only connection from everybody else: read what is needed at once, and close it. */
  readonly blocksOthers: boolean;
}

/** What a connection reads in a transaction that has begun. */
export function snapshotOf(
  reader: Reader,
  blocksOthers: boolean,
  close: () => Promise<void>,
): Snapshot {
  let closed: Promise<void> | undefined;
  return {
    blocksOthers,
    rows: (sql, parameters) => reader.rows(sql, parameters),
    rawRows: (sql, parameters, shape) => reader.rawRows(sql, parameters, shape),
    close: () => (closed ??= close()),
  };
}

/** Runs statements on the connections of one DataSource. One implementation for each driver. */
export interface Executor {
  /**
   * Runs single statements, each its own transaction.
   *
   * @param timeoutMs how long a connection, and the answer to each statement, may take
   */
  single<T>(work: (connection: Connection) => Promise<T>, timeoutMs: number): Promise<T>;

  /** Runs one transaction that can write: rolled back where `work` throws. */
  transaction<T>(work: (connection: Connection) => Promise<T>, timeoutMs: number): Promise<T>;

  /**
   * Opens a consistent snapshot.
   *
   * @param readsAtOnce that one which {@link Snapshot.blocksOthers} is read and closed without waiting for
   *   anything else; without it, such a snapshot is consistent only while no other process writes
   */
  snapshot(timeoutMs: number, readsAtOnce: boolean): Promise<Snapshot>;

  /** Runs statements in a transaction that the host has begun on a connection, and that the host ends. */
  joined<T>(
    runner: QueryRunner,
    work: (connection: Connection) => Promise<T>,
    timeoutMs: number,
  ): Promise<T>;

  /**
   * On a single connection: fails soon while the host is in a transaction, since who asks may be in it, and would wait
   * for itself.
   */
  outsideOfHost(): Promise<void>;
}
