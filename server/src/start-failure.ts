import { SettingError } from './setting-parsers.js';
import { sqliteFailure } from './sqlite-failure.js';
import type { Variables } from './environment.js';

/** The prefix of the settings that say where to listen. */
type Prefix = '' | 'METRICS_';

/** What an error is about, which its code does not say. */
interface Subject {
  prefix?: Prefix;
  /** The SQLite file that cannot be used. */
  file?: string;
}

/** Says of an error which settings it is about: those of where to listen. */
export function aboutListening(error: unknown, prefix: Prefix): Error {
  return Object.assign(error as Error, { prefix });
}

/** Says of an error which SQLite file it is about. */
export function aboutFile(error: unknown, file: string): Error {
  return Object.assign(error as Error, { file });
}

const connectionLost = () =>
  'The connection to the database was lost. Check that the database in DATABASE_URL is running, and try again.';

const unreachable = () =>
  'The host in DATABASE_URL cannot be reached. Check the host, and whether a firewall blocks its port.';

const wrongPassword = () =>
  'The database rejects the user or the password. Check the user in DATABASE_URL and the password in DATABASE_PASSWORD or its file; a user that requires an encrypted connection needs DATABASE_TLS.';

const noPassword = () =>
  'The database requires a password, and none is set. Set DATABASE_PASSWORD_FILE to a file that contains it.';

const noSuchDatabase = () =>
  'The database in DATABASE_URL does not exist. Create it, or set the name of one that exists.';

const lacksPrivileges = () =>
  'The database user lacks privileges. Grant it those in docs/security.md, or all on the database in DATABASE_URL.';

const sqlite =
  (code: string): Advice =>
  (_, { file }) =>
    sqliteFailure(code, file);

const portOf = (variables: Variables, prefix: Prefix) => variables[`${prefix}PORT`] ?? '8090';
const hostOf = (variables: Variables, prefix: Prefix) => variables[`${prefix}HOST`] ?? '';

const unknownHost: Advice = (variables, { prefix }) =>
  prefix === undefined
    ? 'The host in DATABASE_URL cannot be resolved. Check its name.'
    : `${prefix}HOST ${hostOf(variables, prefix)} cannot be resolved. Set an address of this machine, for example ${prefix}HOST=127.0.0.1.`;

type Advice = (variables: Variables, subject: Subject) => string;

/** What the operator can do about a failure to start, by the code of the error. */
const ADVICE: Readonly<Record<string, Advice>> = {
  EADDRINUSE: (variables, { prefix = '' }) =>
    hostOf(variables, prefix).startsWith('/')
      ? `Another server listens on the socket ${hostOf(variables, prefix)}. Stop it, or set another path in ${prefix}HOST.`
      : `${prefix}PORT ${portOf(variables, prefix)} is in use. Set another port, for example ${prefix}PORT=8091.`,
  EACCES: (variables, { prefix = '' }) =>
    `${prefix}PORT ${portOf(variables, prefix)} requires privileges. Set a port above 1023, for example ${prefix}PORT=8090.`,
  EADDRNOTAVAIL: (variables, { prefix = '' }) =>
    `${prefix}HOST ${hostOf(variables, prefix)} is not an address of this machine. Set one, for example ${prefix}HOST=127.0.0.1.`,
  ROOM_KEYS_NO_PASSWORD: noPassword,
  ER_ACCESS_DENIED_ERROR: wrongPassword,
  ER_DBACCESS_DENIED_ERROR: lacksPrivileges,
  ER_TABLEACCESS_DENIED_ERROR: lacksPrivileges,
  ER_COLUMNACCESS_DENIED_ERROR: lacksPrivileges,
  ER_SPECIFIC_ACCESS_DENIED_ERROR: lacksPrivileges,
  ER_SECURE_TRANSPORT_REQUIRED: () =>
    'The database accepts only encrypted connections. Set DATABASE_TLS=verify-full, or verify-ca with DATABASE_TLS_CA_FILE.',
  HANDSHAKE_NO_SSL_SUPPORT: () =>
    'The database does not offer TLS. Enable it there, or set DATABASE_TLS=off.',
  HANDSHAKE_SSL_ERROR: () =>
    'The certificate of the database is not trusted. Set DATABASE_TLS_CA_FILE to the certificate of its issuer, and in DATABASE_URL the host name that it is issued for (DATABASE_TLS=verify-ca does not check the name).',
  ER_HOST_NOT_PRIVILEGED: () =>
    'The database does not allow connections from this machine. Create a user that may connect from here.',
  ER_BAD_DB_ERROR: noSuchDatabase,
  ER_CON_COUNT_ERROR: () =>
    'The database has no free connection. Raise max_connections, or set a smaller DATABASE_CONNECTIONS.',
  ECONNREFUSED: () =>
    'No database answers at the host and port in DATABASE_URL. Start it, or check host and port.',
  ETIMEDOUT: unreachable,
  EHOSTUNREACH: unreachable,
  ENETUNREACH: unreachable,
  ENOTFOUND: unknownHost,
  EAI_AGAIN: unknownHost,
  ROOM_KEYS_NO_TABLES: () =>
    "The database lacks tables or columns. Run 'npx room-keys-server migrate', or set RUN_MIGRATIONS=true.",
  ECONNRESET: connectionLost,
  PROTOCOL_CONNECTION_LOST: connectionLost,
  '28P01': wrongPassword,
  '28000': () =>
    'PostgreSQL does not allow this user to connect from here. Add a line for it to pg_hba.conf and reload, or set another user in DATABASE_URL (on a socket with peer authentication, the user of this process); a hostssl line requires DATABASE_TLS.',
  '3D000': noSuchDatabase,
  '3F000': () =>
    'The schema in DATABASE_URL does not exist, or the user may not create tables in it. Create it with CREATE SCHEMA, grant CREATE on it, or set another one.',
  '42501': lacksPrivileges,
  '53300': () =>
    'PostgreSQL has no free connection. Raise max_connections or the CONNECTION LIMIT of the user, or set a smaller DATABASE_CONNECTIONS.',
  '57P03': () => 'PostgreSQL is starting up or shutting down. Try again.',
  ROOM_KEYS_NO_TRANSACTIONS: () =>
    'The pooler in front of PostgreSQL does not allow transactions. Set pool_mode=transaction in the configuration of PgBouncer.',
  '08P01': () =>
    'The pooler in front of PostgreSQL refuses the connection, and its log says why. Set a user, a password and a database in DATABASE_URL that it knows.',
  SQLITE_CANTOPEN: sqlite('SQLITE_CANTOPEN'),
  SQLITE_READONLY: sqlite('SQLITE_READONLY'),
  SQLITE_READONLY_DBMOVED: sqlite('SQLITE_READONLY'),
  SQLITE_READONLY_DIRECTORY: sqlite('SQLITE_READONLY'),
  SQLITE_FULL: () => 'The disk is full. Free some space for the file in DATABASE_URL.',
  SQLITE_NOTADB: () =>
    'The file in DATABASE_URL is not a SQLite database. Set the path of another file.',
};

/** Failures of the operating system around a file or a socket, whose codes ports and hosts have too. */
function fileFailure(error: NodeJS.ErrnoException & { address?: string }, { prefix }: Subject) {
  const { syscall = '', code = '', address, path = '' } = error;
  if (['mkdir', 'open', 'stat'].includes(syscall))
    return `${path || 'The folder of the file in DATABASE_URL'} cannot be created or opened (${code}). Check that the path in DATABASE_URL is right, and that this user may write to its folder.`;
  if (syscall === 'connect' && (address ?? path).startsWith('/'))
    return `No database answers on the socket ${address ?? path} (${code}). Start it, check the socket's path in DATABASE_URL, and whether this user may use it.`;
  if (syscall === 'listen' && code === 'EEXIST')
    return `HOST ${address} exists and is not a socket. Remove it, or set another path.`;
  const socket = prefix === undefined ? undefined : (address ?? path);
  if (['listen', 'unlink', 'chmod', 'lstat'].includes(syscall) && socket?.startsWith('/'))
    if (code !== 'EADDRINUSE')
      return `The socket ${socket} cannot be created (${code}). Check that its folder exists and that this user may write to it, or set another path in HOST.`;
  return undefined;
}

/** What Node says of a certificate that it does not trust. mysql2 has one code for all of it. */
const CERTIFICATE = /^(CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERR_TLS_CERT_)/;

/** What pg says without a code, or another with one that says less. */
const MESSAGES: readonly [RegExp, code: string][] = [
  [/statement pooling mode/, 'ROOM_KEYS_NO_TRANSACTIONS'],
  [/^SASL: .* client password must be|\(using password: NO\)$/, 'ROOM_KEYS_NO_PASSWORD'],
  [/^The server does not support SSL/, 'HANDSHAKE_NO_SSL_SUPPORT'],
  [/^Connection terminated due to connection timeout|^timeout e/, 'ETIMEDOUT'],
  [/^Connection terminated/, 'PROTOCOL_CONNECTION_LOST'],
];

/** The code of a database driver's error; for one without, the code that other drivers have for it. */
export function databaseCode({ code, message }: NodeJS.ErrnoException): string {
  const [, better] = MESSAGES.find(([words]) => words.test(message)) ?? [];
  if (better !== undefined) return better;
  return CERTIFICATE.test(code ?? '') ? 'HANDSHAKE_SSL_ERROR' : (code ?? '');
}

/** The text for a start that failed: what is wrong and what to do where that is known, else the stack. */
export function startFailure(error: unknown, variables: Variables): string {
  if (error instanceof SettingError) return error.message;
  const subject = error as Subject;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const text = fileFailure(cause, subject) ?? ADVICE[databaseCode(cause)]?.(variables, subject);
    if (text !== undefined) return text;
  }
  if (!(error instanceof Error)) return String(error);
  // errors of the module say what to do themselves
  return error.message.startsWith('RoomKeysModule: ')
    ? error.message
    : (error.stack ?? error.message);
}
