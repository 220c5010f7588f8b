import type { ColumnType, DataSource, DataSourceOptions, Migration } from 'typeorm';
import type { ConnectionCounts } from '../../room-key.js';
import type { Connection, Executor, SqlValue } from './connection.js';
import type { SqlValues } from './sql-values.js';

/** Where a row stands in its key set; a page begins after one. */
export interface KeyPosition {
  roomNo: number;
  seq: number;
}

/** A change of rows of one table. */
export interface TableUpdate {
  table: string;
  /** Its name in the values, and in `where`. */
  alias: string;
  /** Each column's new value, in SQL. */
  set: Readonly<Record<string, string>>;
  where: string;
  /** For each `?` of `set`, then of `where`. */
  parameters: readonly SqlValue[];
}

/** {@link Dialect.update} where a statement changes one table. */
export const updateEach: Dialect['update'] = (...tables) =>
  tables.flatMap((one) => {
    if (!one) return [];
    const set = Object.entries(one.set).map(([column, value]) => `${column} = ${value}`);
    return [
      [
        `UPDATE ${one.table} AS ${one.alias} SET ${set.join(', ')} WHERE ${one.where}`,
        one.parameters,
      ],
    ];
  });

/** What {@link Dialect.deleteSome} has deleted. */
export interface DeletedKeys {
  rows: number;
  /** The last one, where the next call is to go on from it; undefined where it is to look from the first key on. */
  last?: KeyPosition | undefined;
}

/**
 * Ends a SELECT of what the user's lock protects. In a transaction of the host, a read without a lock may see the
 * database as it was before others changed it; where rows that have changed since are a conflict, they were found out by
 * the lock on their backup.
 */
export const asOfNow = ({ isJoined }: Connection, { forUpdate, locksOneTable }: Dialect): string =>
  isJoined && !locksOneTable ? forUpdate : '';

/** The names of the tables. */
export interface Tables {
  users: string;
  backups: string;
  keySets: string;
  rooms: string;
  retiredRooms: string;
  keys: string;
  imports: string;
  deleted: string;
  history: string;
}

/**
 * @param prefix the DataSource's `entityPrefix`
 * @param inSql a table's name as statements have it
 */
export function tableNames(prefix: string, inSql: (name: string) => string): Tables {
  const table = (name: string) => inSql(`${prefix}room_keys_${name}`);
  return {
    users: table('users'),
    backups: table('backups'),
    keySets: table('key_sets'),
    rooms: table('rooms'),
    retiredRooms: table('retired_rooms'),
    keys: table('keys'),
    imports: table('imports'),
    deleted: table('deleted'),
    history: table('history'),
  };
}

export type DialectId = 'mysql' | 'postgres' | 'sqlite';

/**
 * All in which the databases differ. Nothing outside this folder asks which one it is; what a new database
 * lacks, the compiler lists.
 */
export interface Dialect {
  readonly id: DialectId;

  /** How the statements are run. */
  executor(dataSource: DataSource): Executor;

  // --- set-up of a DataSource --------------------------------------------------------------------

  /**
   * Runs pending migrations of the DataSource, the host's among them; of several processes that start at once, one
   * does, and the others wait for it.
   *
   * @returns those that this call ran
   * @throws Error with one sentence where another process still runs them after a minute
   */
  runMigrations(dataSource: DataSource): Promise<Migration[]>;
  /** Has statements of the DataSource give up waiting for locks of other sessions after some seconds. */
  limitLockWaits(dataSource: DataSource): void;
  /** The connections as they are now; undefined where the DataSource has several pools. */
  connectionCounts(dataSource: DataSource): ConnectionCounts | undefined;

  // --- limits ---------------------------------------------------------------------------------

  /** Rows per statement: bounds the size of a statement, and the ranges that its optimizer has to plan. */
  readonly rowsPerStatement: number;
  /** Whether the database works while this process does other things: a server does. */
  readonly worksElsewhere: boolean;
  /** How many connections a DataSource has by default. */
  connectionsOf(options: DataSourceOptions): number;

  /** Column types instead of those of the entity classes, which are MySQL's. */
  readonly columnTypes: Readonly<Record<string, ColumnType>> | undefined;

  // --- checks -----------------------------------------------------------------------------------

  /** None or few statements, no lock: fails where the database takes no writes just now. */
  checkWritable(connection: Connection, tables: Tables): Promise<void>;
  /** Stops a start whose promises would not hold on this database, with one sentence that says what to set. */
  checkSettings(dataSource: DataSource): Promise<void>;

  // --- fragments of SQL ------------------------------------------------------------------------

  /** The values of a statement with many rows. */
  values(): SqlValues;
  /** A name, quoted. */
  quote(name: string): string;
  /** The name of a table, quoted, with all that a statement needs to find it. */
  table(name: string, dataSource: DataSource): string;
  /** Milliseconds since 1970 by the clock of the database, which all servers share. */
  readonly now: string;
  /** Ends a SELECT that locks what it reads; empty where a transaction that writes excludes all others anyway. */
  readonly forUpdate: string;
  /** Whether a SELECT that waited for a lock shows, of other tables than the locked one, what was there before. */
  readonly locksOneTable: boolean;
  /** The larger of two numbers. */
  greatest(one: string, other: string): string;
  /** Between an INSERT and the assignments that take its place where a row with the same primary key exists. */
  onConflict(primaryKey: string): string;
  /** In those assignments: the value that the INSERT had for a column. */
  inserted(column: string): string;
  /**
   * 1 statement, 2 for two tables where one statement cannot change both.
   *
   * @param other has no `?` in `set`
   */
  update(
    one: TableUpdate,
    other?: TableUpdate,
  ): (readonly [sql: string, parameters: readonly SqlValue[]])[];
  /** Ends an INSERT whose rows are left out where they exist. */
  readonly skipExisting: string;
  /** Ends an INSERT whose answer is to have the number that the database gave to the row. */
  returning(column: string): string;
  /** What comes after a position, in the form that the optimizer reads as one range of the primary key. */
  after(position: KeyPosition): [where: string, parameters: number[]];
  /** Comes after the name of a table whose rows are read in the order of its primary key. */
  readonly inPrimaryKeyOrder: string;
  /**
   * 1 statement: deletes up to `limit` of many keys, those first in the order of the primary key.
   *
   * @param where of all that are to go, with a `?` for each of `parameters`
   * @param after the last key that a call before has deleted: there is none up to it
   */
  deleteSome(
    connection: Connection,
    keys: { table: string; where: string; parameters: readonly SqlValue[] },
    limit: number,
    after?: KeyPosition,
  ): Promise<DeletedKeys>;
  /** Whether a change of one node of a cluster can come in past a lock that another node holds. */
  readonly locksAreLocal: boolean;
}
