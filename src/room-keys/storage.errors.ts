/** Errors of the storage for requests that it cannot serve at the moment, of which nothing was stored; and what may be logged of one. */

/**
 * The database cannot be reached, is too busy or gave up: the same request can succeed later. `code` is the
 * driver's own, or one of this module's.
 */
export class StorageUnavailableError extends Error {
  override readonly name = 'StorageUnavailableError';
  readonly code: string;

  /**
   * @param isKnownCode whether the code is enough to explain the error; otherwise the message is
   * @param advice what the operator can do about a permanent cause
   * @param isDiskFull whether the database has no space left
   */
  constructor(
    cause: Error & { code?: string },
    readonly isKnownCode: boolean,
    readonly advice?: string,
    readonly isDiskFull = false,
  ) {
    super(cause.message, { cause });
    this.code = cause.code ?? 'UNKNOWN';
  }
}

/** One user has too many requests waiting for the database; others are served as usual. */
export class TooManyWaitingError extends Error {
  override readonly name = 'TooManyWaitingError';
  readonly code = 'ROOM_KEYS_TOO_MANY_WAITING';

  /** @param retryAfterMs milliseconds after which the user can try again */
  constructor(readonly retryAfterMs: number) {
    super('Too many requests of this user are waiting.');
  }
}

/**
 * The database aborted a transaction of the host in favour of another, during a call that joined it: the host must roll
 * it back, and may retry it from its start. `code` is the database's own.
 *
 * @publicApi
 */
export class TransactionConflictError extends Error {
  override readonly name = 'RoomKeysTransactionConflictError';

  constructor(
    readonly code: string,
    cause: Error,
  ) {
    super(
      `The database aborted the transaction because of a conflict (${code}). Roll it back and retry it.`,
      { cause },
    );
  }
}

/**
 * The part of an error that may be logged: its stack, or its message if it has none. For a failed query
 * these do not contain its parameters, which are in other properties. But messages of MySQL and MariaDB
 * quote values, as in `Duplicate entry '!room:example.org' for key 'room_id'`, so quoted text is removed.
 */
export function redactedError(error: unknown, part: 'stack' | 'message' = 'stack'): string {
  if (!(error instanceof Error)) return 'something other than an Error was thrown';
  const text = (part === 'stack' ? error.stack : undefined) ?? error.message;
  const { sqlMessage, code } = error as Error & { sqlMessage?: string; code?: string };
  if (sqlMessage === undefined || QUOTES_NAMES.has(code ?? '')) return text;
  // from the first quote to the last: a value may contain quotes
  return text.replace(/'[^]*'/, '…');
}

/** These quote the names of tables, columns and database users, which help to fix the problem. */
const QUOTES_NAMES = new Set([
  'ER_ACCESS_DENIED_ERROR',
  'ER_BAD_DB_ERROR',
  'ER_BAD_FIELD_ERROR',
  'ER_BAD_NULL_ERROR',
  'ER_DATA_TOO_LONG',
  'ER_DBACCESS_DENIED_ERROR',
  'ER_NO_DEFAULT_FOR_FIELD',
  'ER_NO_SUCH_TABLE',
  'ER_RECORD_FILE_FULL',
  'ER_TABLEACCESS_DENIED_ERROR',
]);
