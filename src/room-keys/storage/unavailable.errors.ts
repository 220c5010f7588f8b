/** The database is there, and has no time: the caller is to try again. */
export class BusyError extends Error {
  readonly code = 'ROOM_KEYS_BUSY';
}

/** The database does not answer, and may be gone without a word: the caller is to try again. */
export class NoAnswerError extends Error {
  readonly code = 'ROOM_KEYS_NO_ANSWER';
}

/**
 * Says of an error that it kept a connection from being had: whatever it is, nothing was asked of the
 * database, and the caller is to try again.
 */
export function withoutConnection(error: unknown): unknown {
  return error instanceof Error ? Object.assign(error, { withoutConnection: true }) : error;
}
