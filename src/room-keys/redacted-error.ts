/**
 * What may be logged of an error: its stack, or its message without one. Of a failed query that has
 * no parameters, which are in other properties; but messages of MySQL and MariaDB quote values, as
 * `Duplicate entry '!room:example.org' for key 'room_id'` does, so what they quote is left out.
 */
export function redactedError(error: unknown, part: 'stack' | 'message' = 'stack'): string {
  if (!(error instanceof Error)) return 'something that is no error was thrown';
  const text = (part === 'stack' ? error.stack : undefined) ?? error.message;
  const { sqlMessage, code } = error as Error & { sqlMessage?: string; code?: string };
  if (sqlMessage === undefined || QUOTES_NAMES.has(code ?? '')) return text;
  // from the first to the last: a value may hold quotes itself
  return text.replace(/'[^]*'/, '…');
}

/** These quote the names of tables, columns and database users, and help whoever has to mend it. */
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
