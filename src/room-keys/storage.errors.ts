/** Errors of the storage for requests that it cannot serve at the moment. Nothing of the request was stored. */

/**
 * The database cannot be reached, is too busy or gave up: the same request can succeed later. `code` is the
 * driver's own, or one of this module's.
 */
export class StorageUnavailableError extends Error {
  override readonly name = 'StorageUnavailableError';
  readonly code: string;

  /**
   * @param isKnownCode whether the code is enough to explain the error; otherwise the message is
   * @param advice what the operator can do, for a cause that does not go away by itself
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
      `The database gave the transaction up in favour of another one (${code}): roll it back, and begin it again.`,
      { cause },
    );
  }
}
