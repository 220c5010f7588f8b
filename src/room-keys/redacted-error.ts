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
