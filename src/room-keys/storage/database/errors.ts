/** What the errors of databases, drivers and the network mean to this module. */
import { StorageUnavailableError, TooManyWaitingError } from '../../storage.errors.js';

/** The database is available, but busy: the caller can try again. */
export class BusyError extends Error {
  readonly code = 'ROOM_KEYS_BUSY';
}

/** The database does not answer, and may be gone without a word: the caller can try again. */
export class NoAnswerError extends Error {
  readonly code = 'ROOM_KEYS_NO_ANSWER';
}

const failedToConnect = new WeakSet<Error>();

/** Marks an error that came up before a connection was there: whatever it is, no statement was sent. */
export function connectFailure(error: unknown): unknown {
  if (error instanceof Error) failedToConnect.add(error);
  return error;
}

/**
 * The codes of databases for a transaction that was aborted because of another. `conflict` events have these, so
 * that a host's counter of each can begin at zero.
 *
 * @publicApi
 */
export const roomKeysConflictCodes: readonly string[] = [
  'ER_LOCK_DEADLOCK', // also a certification conflict in a Galera cluster or a MySQL group
  'ER_LOCK_WAIT_TIMEOUT',
  'ER_TRANSACTION_ROLLBACK_DURING_COMMIT', // a certification conflict in Group Replication
  'ER_DUP_ENTRY', // another node of a cluster inserted the row; a retry sees it
  'ER_CHECKREAD', // MariaDB with innodb_snapshot_isolation: the row changed since the snapshot
  '23505', // PostgreSQL: unique_violation
  '40001', // PostgreSQL: serialization_failure
  '40P01', // PostgreSQL: deadlock_detected
  '55P03', // PostgreSQL: lock_not_available
  'SQLITE_BUSY',
  'SQLITE_BUSY_RECOVERY', // another process mends the file after a crash
  'SQLITE_BUSY_SNAPSHOT', // what was read has changed since
  'SQLITE_BUSY_TIMEOUT',
  'SQLITE_LOCKED',
  'SQLITE_LOCKED_SHAREDCACHE',
  'SQLITE_LOCKED_VTAB',
];
const conflicts = new Set(roomKeysConflictCodes);
/** With any detail, including those that a later SQLite may add. */
const SQLITE_CONFLICT = /^SQLITE_(BUSY|LOCKED)/;

/** The code of an error that says so; undefined for any other. */
export function conflictCode(error: unknown): string | undefined {
  const { code } = (error ?? {}) as { code?: unknown };
  const isConflict =
    typeof code === 'string' && (conflicts.has(code) || SQLITE_CONFLICT.test(code));
  return isConflict ? code : undefined;
}

/** Codes of the network, of drivers, of MySQL, of PostgreSQL and of this module that say: not now. */
const UNAVAILABLE = new Set([
  '25006', // read_only_sql_transaction, as after a failover
  '25P03', // idle_in_transaction_session_timeout
  '25P04', // transaction_timeout
  '40001', // serialization_failure
  '40P01', // deadlock_detected
  '53100', // disk_full
  '53200', // out_of_memory
  '53300', // too_many_connections
  '53400', // configuration_limit_exceeded
  '55P03', // lock_not_available
  '57014', // query_canceled, as by a statement_timeout
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  '57P05', // idle_session_timeout
  '58030', // io_error
  'EAI_AGAIN',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
  'PROTOCOL_CONNECTION_LOST',
  'PROTOCOL_SEQUENCE_TIMEOUT',
  'PROXYSQL_CONNECT_TIMEOUT',
  'ROOM_KEYS_BUSY',
  'ROOM_KEYS_NO_ANSWER',
  'CR_CONN_HOST_ERROR',
  'CR_SERVER_GONE_ERROR',
  'CR_SERVER_LOST',
  'ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION',
  'ER_CHECKREAD',
  'ER_CLIENT_INTERACTION_TIMEOUT',
  'ER_CONNECTION_KILLED',
  'ER_CON_COUNT_ERROR',
  'ENOSPC',
  'ER_DISK_FULL',
  'ER_ERROR_DURING_COMMIT',
  // from a member of a MySQL group that waits for others, and is cut off from them
  'ER_GRP_TRX_CONSISTENCY_AFTER_ON_TRX_BEGIN',
  'ER_GRP_TRX_CONSISTENCY_BEFORE',
  'ER_GRP_TRX_CONSISTENCY_BEGIN_NOT_ALLOWED',
  'ER_GRP_TRX_CONSISTENCY_NOT_ALLOWED',
  'ER_LOCK_DEADLOCK',
  'ER_LOCK_WAIT_TIMEOUT',
  'ER_NEW_ABORTING_CONNECTION',
  'ER_OPTION_PREVENTS_STATEMENT',
  'ER_QUERY_INTERRUPTED',
  'ER_QUERY_TIMEOUT',
  'ER_READ_ONLY_MODE',
  'ER_RECORD_FILE_FULL',
  'ER_RUN_HOOK_ERROR', // from a member that Group Replication has left behind
  'ER_SERVER_SHUTDOWN',
  'ER_SESSION_WAS_KILLED',
  'ER_STATEMENT_TIMEOUT',
  'ER_TOO_MANY_USER_CONNECTIONS',
  'ER_TRANSACTION_ROLLBACK_DURING_COMMIT',
  'ER_UNKNOWN_COM_ERROR', // from a Galera node that lacks the majority of its cluster, or joins it
  'ER_USER_LIMIT_REACHED',
]);

/** PostgreSQL's class of what goes wrong between client and server; poolers have it for what they say themselves. */
const POSTGRES_CONNECTION = '08';
/** SQLite's come with more detail, such as SQLITE_IOERR_FSYNC. */
const SQLITE_UNAVAILABLE = /^SQLITE_(BUSY|CANTOPEN|FULL|IOERR|LOCKED|NOMEM|READONLY)/;

/** The codes of a full disk: MySQL's numbers are 1021 and 1114. */
const DISK_FULL = /^(SQLITE_FULL|ER_DISK_FULL|ER_RECORD_FILE_FULL|ENOSPC|53100)$/;

/** Advice for the operator, for causes that do not go away by themselves. */
const ADVICE: readonly [codes: RegExp, advice: string][] = [
  [DISK_FULL, 'The disk is full. Free some space.'],
  [
    /^SQLITE_READONLY_DBMOVED$/,
    'The file was moved or removed. Put it back, or restart the server.',
  ],
  [
    /^SQLITE_(READONLY|CANTOPEN)/,
    'The user of this process must be able to write to the file and to its folder.',
  ],
];

/** An error as callers of the storage see it: {@link StorageUnavailableError} where it can succeed later. */
export function asStorageError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  if (error instanceof StorageUnavailableError || error instanceof TooManyWaitingError)
    return error;
  const { code, syscall } = error as NodeJS.ErrnoException;
  const isKnownCode =
    code !== undefined &&
    // a system call fails with a code such as ENOENT for a socket in the file system
    (syscall === 'connect' ||
      UNAVAILABLE.has(code) ||
      code.startsWith(POSTGRES_CONNECTION) ||
      SQLITE_UNAVAILABLE.test(code));
  if (!isKnownCode && !failedToConnect.has(error)) return error;
  const [, advice] = ADVICE.find(([codes]) => code !== undefined && codes.test(code)) ?? [];
  const isDiskFull = code !== undefined && DISK_FULL.test(code);
  return new StorageUnavailableError(error, isKnownCode, advice, isDiskFull);
}

const MISSING_TABLE = [
  'ER_NO_SUCH_TABLE',
  'ER_BAD_FIELD_ERROR',
  'SQLITE_ERROR',
  '42P01', // undefined_table
  '42703', // undefined_column
  '3F000', // invalid_schema_name
];

/** Whether an error says that a table or a column is not there. */
export function isMissingTable(error: unknown): boolean {
  const { code = '' } = error as { code?: string };
  return MISSING_TABLE.includes(code);
}

/** Whether an error means that the database takes no writes for a reason that an operator must fix. */
export function isReadOnlyFile(error: unknown): boolean {
  return (error as { code?: string }).code?.startsWith('SQLITE_READONLY') ?? false;
}

/** What MariaDB, and proxies that speak for a server, say of a statement, and mysql2 has no name for. */
const MYSQL_CODES: Readonly<Record<number, string>> = {
  1927: 'ER_CONNECTION_KILLED',
  1969: 'ER_STATEMENT_TIMEOUT',
  2003: 'CR_CONN_HOST_ERROR',
  2006: 'CR_SERVER_GONE_ERROR',
  2013: 'CR_SERVER_LOST',
  9001: 'PROXYSQL_CONNECT_TIMEOUT',
};

const ER_ERROR_DURING_COMMIT = 1180;
/** "Got error 149 - …": InnoDB's number for a deadlock, in whatever language the message is. */
const DEADLOCK = /^\D*149\b/;

/**
 * The code that mysql2 should have given an error: it has none for a statement on a connection that was lost before.
 * A transaction that a MySQL group rolls back for another one's sake may fail with a general code at its COMMIT.
 */
export function mysqlCode(error: {
  code?: string | undefined;
  errno?: number | undefined;
  fatal?: boolean | undefined;
  message: string;
}): string | undefined {
  if (error.errno === ER_ERROR_DURING_COMMIT && DEADLOCK.test(error.message))
    return 'ER_LOCK_DEADLOCK';
  return (
    error.code ??
    MYSQL_CODES[error.errno ?? 0] ??
    (error.fatal ? 'PROTOCOL_CONNECTION_LOST' : undefined)
  );
}

/** PostgreSQL: read_only_sql_transaction. */
export const READ_ONLY = '25006';

/** Whether an error says that another server takes the writes. */
export const takesNoWrites = (error: unknown): boolean =>
  (error as { code?: string }).code === READ_ONLY;

/** The code that pg should have given an error: it has none for what happened to the connection itself. */
export function postgresCode(error: { code?: string; message: string }): string | undefined {
  return error.code ?? (LOST_CONNECTION.test(error.message) ? CONNECTION_FAILURE : undefined);
}

/** PostgreSQL's code of it. */
const CONNECTION_FAILURE = '08006';
const LOST_CONNECTION =
  /^(Connection terminated|Client was closed|Client has encountered a connection error|Query read timeout|timeout exceeded when trying to connect)/;
