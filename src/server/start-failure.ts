import { SettingError } from './environment.js';

/** What the operator can do about a failure to start, by the code of the error. */
const ADVICE: Readonly<Record<string, (variables: NodeJS.ProcessEnv) => string>> = {
  EADDRINUSE: ({ PORT = '8090' }) => `PORT ${PORT} is taken: write another one, such as PORT=8091.`,
  EACCES: ({ PORT = '8090' }) =>
    `PORT ${PORT} needs privileges: write one above 1023, such as PORT=8090.`,
  EADDRNOTAVAIL: ({ HOST = '' }) =>
    `HOST ${HOST} is no address of this machine: write HOST=127.0.0.1.`,
  ER_ACCESS_DENIED_ERROR: () =>
    'The database refuses the user or the password: write the right ones in DATABASE_URL, or the password in the file that DATABASE_PASSWORD_FILE names.',
  ER_DBACCESS_DENIED_ERROR: () =>
    'The database does not let the user in: grant it all privileges on the database that DATABASE_URL names.',
  ER_BAD_DB_ERROR: () =>
    'The database that DATABASE_URL names does not exist: create it, or write the name of one that does.',
  ECONNREFUSED: () =>
    'No database answers at the host and port of DATABASE_URL: start it, or write others.',
  ENOTFOUND: () => 'The host in DATABASE_URL is not known: write the name of one that is.',
  SQLITE_CANTOPEN: () =>
    'The file in DATABASE_URL cannot be opened: write one in a folder that this user may write to.',
  SQLITE_READONLY: () =>
    'The file in DATABASE_URL is read-only: write one that this user may write to.',
  SQLITE_NOTADB: () =>
    'The file in DATABASE_URL is no SQLite database: write the name of another file.',
};

/** The text for a start that failed: one sentence where the operator can mend it, else where it happened. */
export function startFailure(error: unknown, variables: NodeJS.ProcessEnv): string {
  if (error instanceof SettingError) return error.message;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const advice = ADVICE[(cause as NodeJS.ErrnoException).code ?? ''];
    if (advice) return advice(variables);
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
