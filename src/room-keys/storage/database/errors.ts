/** What the errors of databases, drivers and the network mean to this module. */
import { StorageUnavailableError, TooManyWaitingError } from '../../storage.errors.js';

/** The database is there and has no time: the caller can try again. */
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
 * The codes by which databases say that a transaction gave way to another. `conflict` events have these, so
 * that a host's counter of each can begin at zero.
 *
 * @publicApi
 */
export const roomKeysConflictCodes: readonly string[] = [
  'ER_LOCK_DEADLOCK', // also a certification conflict in a Galera cluster
  'ER_LOCK_WAIT_TIMEOUT',
  'ER_TRANSACTION_ROLLBACK_DURING_COMMIT', // a certification conflict in Group Replication
  'ER_DUP_ENTRY', // the row came in unseen, as in a cluster; read again, it is there
  'ER_CHECKREAD', // MariaDB with innodb_snapshot_isolation: the row changed since the snapshot
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

/** Codes of the network, of mysql2, of MySQL and of this module that say: not now. */
const UNAVAILABLE = new Set([
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
  'ER_DISK_FULL',
  'ER_ERROR_DURING_COMMIT',
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

/** SQLite's come with more detail, such as SQLITE_IOERR_FSYNC. */
const SQLITE_UNAVAILABLE = /^SQLITE_(BUSY|CANTOPEN|FULL|IOERR|LOCKED|NOMEM|READONLY)/;

/** What the operator can do about causes that last until somebody does something. */
const ADVICE: readonly [codes: RegExp, advice: string][] = [
  [/^(SQLITE_FULL|ER_DISK_FULL|ER_RECORD_FILE_FULL)$/, 'The disk is full: make room.'],
  [
    /^SQLITE_READONLY_DBMOVED$/,
    'The file was moved or removed: put it back, or start the server again.',
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
    (syscall === 'connect' || UNAVAILABLE.has(code) || SQLITE_UNAVAILABLE.test(code));
  if (!isKnownCode && !failedToConnect.has(error)) return error;
  const [, advice] = ADVICE.find(([codes]) => code !== undefined && codes.test(code)) ?? [];
  return new StorageUnavailableError(error, isKnownCode, advice);
}

/** Whether an error says that a table or a column is not there. */
export function isMissingTable(error: unknown): boolean {
  const { code = '' } = error as { code?: string };
  return ['ER_NO_SUCH_TABLE', 'ER_BAD_FIELD_ERROR', 'SQLITE_ERROR'].includes(code);
}

/** Whether an error says that the database takes no writes for a reason that does not pass by itself. */
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

/** The code that mysql2 should have given an error: it has none for a statement on a connection that was lost before. */
export function mysqlCode(error: {
  code?: string | undefined;
  errno?: number | undefined;
  fatal?: boolean | undefined;
}): string | undefined {
  return (
    error.code ??
    MYSQL_CODES[error.errno ?? 0] ??
    (error.fatal ? 'PROTOCOL_CONNECTION_LOST' : undefined)
  );
}
