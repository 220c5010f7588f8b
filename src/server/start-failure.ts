import type { Variables } from './environment.js';
import { SettingError } from './setting-kinds.js';

/** What stands before the names of the settings that say where to listen. */
type Prefix = '' | 'METRICS_';

const brokenOff = () =>
  'The database that DATABASE_URL names broke the connection off: see that it runs, and try again.';

/** What the operator can do about a failure to start, by the code of the error. */
const ADVICE: Readonly<Record<string, (variables: Variables, prefix: Prefix) => string>> = {
  EADDRINUSE: (variables, prefix) =>
    `${prefix}PORT ${variables[`${prefix}PORT`] ?? '8090'} is taken: write another one, such as ${prefix}PORT=8091.`,
  EACCES: (variables, prefix) =>
    `${prefix}PORT ${variables[`${prefix}PORT`] ?? '8090'} needs privileges: write one above 1023, such as ${prefix}PORT=8090.`,
  EADDRNOTAVAIL: (variables, prefix) =>
    `${prefix}HOST ${variables[`${prefix}HOST`] ?? ''} is no address of this machine: write ${prefix}HOST=127.0.0.1.`,
  ER_ACCESS_DENIED_ERROR: () =>
    'The database refuses the user or the password: write the right ones in DATABASE_URL, or the password in DATABASE_PASSWORD or its file.',
  ER_DBACCESS_DENIED_ERROR: () =>
    'The database does not let the user in: grant it all privileges on the database that DATABASE_URL names.',
  ER_BAD_DB_ERROR: () =>
    'The database that DATABASE_URL names does not exist: create it, or write the name of one that does.',
  ECONNREFUSED: () =>
    'No database answers at the host and port of DATABASE_URL: start it, or write others.',
  ENOTFOUND: () => 'The host in DATABASE_URL is not known: write the name of one that is.',
  ECONNRESET: brokenOff,
  PROTOCOL_CONNECTION_LOST: brokenOff,
  SQLITE_CANTOPEN: () =>
    'The file in DATABASE_URL cannot be opened: write one in a folder that this user may write to.',
  SQLITE_READONLY: () =>
    'The file in DATABASE_URL is read-only: write one that this user may write to.',
  SQLITE_NOTADB: () =>
    'The file in DATABASE_URL is no SQLite database: write the name of another file.',
};

const NO_FOLDER =
  'The folder of the file in DATABASE_URL cannot be made or written to: make it, or write another.';

/** The text for a start that failed: one sentence where the operator can mend it, else where it happened. */
export function startFailure(error: unknown, variables: Variables): string {
  if (error instanceof SettingError) return error.message;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const {
      code = '',
      prefix = '',
      syscall,
    } = cause as NodeJS.ErrnoException & { prefix?: Prefix };
    // with the codes that a port may have too
    if (syscall === 'mkdir' || syscall === 'open') return NO_FOLDER;
    const advice = ADVICE[code];
    if (advice) return advice(variables, prefix);
    const missing = missingPackage(cause);
    if (missing) return `${missing} is not installed: run npm install ${missing}.`;
  }
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** The driver that TypeORM looked for, or another of the packages that a host may do without. */
function missingPackage(error: Error): string | undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (error.name === 'DriverPackageNotInstalledError')
    return /npm install ([\w@/.-]*\w)/.exec(error.message)?.[1];
  if (code === 'ERR_MODULE_NOT_FOUND')
    return /^Cannot find package '([^']+)'/.exec(error.message)?.[1];
  return undefined;
}
