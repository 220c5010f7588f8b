import type { Variables } from './environment.js';
import { SettingError } from './setting-kinds.js';

/** What stands before the names of the settings that say where to listen. */
type Prefix = '' | 'METRICS_';

/** Says of an error which settings are about it: those of where to listen. */
export function aboutListening(error: unknown, prefix: Prefix): Error {
  return Object.assign(error as Error, { prefix });
}

const brokenOff = () =>
  'The database that DATABASE_URL names broke the connection off: see that it runs, and try again.';

const notReached = () =>
  'The host in DATABASE_URL is not to be reached: write another one, or see what a firewall does with its port.';

const wrongPassword = () =>
  'The database refuses the user or the password: write the right ones in DATABASE_URL, or the password in DATABASE_PASSWORD or its file; a user who may only come encrypted needs DATABASE_TLS.';

const noSuchDatabase = () =>
  'The database that DATABASE_URL names does not exist: create it, or write the name of one that does.';

function unknownHost(variables: Variables, prefix: Prefix | undefined): string {
  return prefix === undefined
    ? 'The host in DATABASE_URL is not known: write the name of one that is.'
    : `${prefix}HOST ${variables[`${prefix}HOST`] ?? ''} is not known: write an address of this machine, such as ${prefix}HOST=127.0.0.1.`;
}

/** What the operator can do about a failure to start, by the code of the error. */
const ADVICE: Readonly<Record<string, (variables: Variables, prefix?: Prefix) => string>> = {
  EADDRINUSE: (variables, prefix = '') =>
    `${prefix}PORT ${variables[`${prefix}PORT`] ?? '8090'} is taken: write another one, such as ${prefix}PORT=8091.`,
  EACCES: (variables, prefix = '') =>
    `${prefix}PORT ${variables[`${prefix}PORT`] ?? '8090'} needs privileges: write one above 1023, such as ${prefix}PORT=8090.`,
  EADDRNOTAVAIL: (variables, prefix = '') =>
    `${prefix}HOST ${variables[`${prefix}HOST`] ?? ''} is no address of this machine: write ${prefix}HOST=127.0.0.1.`,
  ER_ACCESS_DENIED_ERROR: wrongPassword,
  ER_DBACCESS_DENIED_ERROR: () =>
    'The database does not let the user in: grant it all privileges on the database that DATABASE_URL names.',
  ER_TABLEACCESS_DENIED_ERROR: () =>
    'The database lets the user in, and not do what is needed: grant it all privileges on the database that DATABASE_URL names.',
  ER_SECURE_TRANSPORT_REQUIRED: () =>
    'The database takes only connections that are encrypted: write DATABASE_TLS=verify-full, or verify-ca with DATABASE_TLS_CA_FILE.',
  HANDSHAKE_NO_SSL_SUPPORT: () =>
    'The database has no TLS: switch it on there, or write DATABASE_TLS=off.',
  HANDSHAKE_SSL_ERROR: () =>
    'The certificate of the database is not to be trusted: write who signed it in DATABASE_TLS_CA_FILE, and in DATABASE_URL the name that it is made out to (DATABASE_TLS=verify-ca does not look at the name).',
  ER_HOST_NOT_PRIVILEGED: () =>
    'The database does not let this machine in: create a user that may come from here.',
  ER_BAD_DB_ERROR: noSuchDatabase,
  ECONNREFUSED: () =>
    'No database answers at the host and port of DATABASE_URL: start it, or write others.',
  ETIMEDOUT: notReached,
  EHOSTUNREACH: notReached,
  ENETUNREACH: notReached,
  ENOTFOUND: unknownHost,
  EAI_AGAIN: unknownHost,
  ROOM_KEYS_NO_TABLES: () =>
    "The database lacks tables or columns: run 'npx room-keys-server migrate', or write RUN_MIGRATIONS=true.",
  ECONNRESET: brokenOff,
  PROTOCOL_CONNECTION_LOST: brokenOff,
  '28P01': wrongPassword,
  '28000': () =>
    'PostgreSQL does not let this user in from here: add a line for it to pg_hba.conf and reload, or write another user in DATABASE_URL (on a socket with peer authentication, that of this process); a line with hostssl needs DATABASE_TLS.',
  '3D000': noSuchDatabase,
  '3F000': () =>
    'The schema in DATABASE_URL does not exist: create it with CREATE SCHEMA, or write another one.',
  '42501': () =>
    'PostgreSQL lets the user in, and not do what is needed: make it the owner of the database or of the schema (CREATE SCHEMA … AUTHORIZATION), or run the migrations as another user and grant it SELECT, INSERT, UPDATE and DELETE.',
  '53300': () =>
    'PostgreSQL has no connection to spare: raise max_connections or the CONNECTION LIMIT of the user, or write a smaller DATABASE_CONNECTIONS.',
  '57P03': () => 'PostgreSQL is still starting, or about to stop: try again.',
  ROOM_KEYS_NO_TRANSACTIONS: () =>
    'The pooler in front of PostgreSQL allows no transactions: set pool_mode=transaction in the configuration of pgBouncer.',
  '08P01': () =>
    'The pooler in front of PostgreSQL refuses the connection, and its log says why: write a user, a password and a database that it knows in DATABASE_URL.',
  SQLITE_CANTOPEN: () =>
    'The file in DATABASE_URL cannot be opened: write one in a folder that this user may write to.',
  SQLITE_READONLY: () =>
    'The file in DATABASE_URL is read-only: write one that this user may write to.',
  SQLITE_NOTADB: () =>
    'The file in DATABASE_URL is no SQLite database: write the name of another file.',
};

const NO_SOCKET =
  'There is no database behind the socket in DATABASE_URL, or this user may not use it: start it, or write its folder behind ?host=, such as ?host=/run/postgresql.';

const NO_FOLDER =
  'The folder of the file in DATABASE_URL cannot be made or written to: make it, or write another.';

/** What Node says of a certificate that it does not trust. mysql2 has one code for all of it. */
const CERTIFICATE = /^(CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERR_TLS_CERT_)/;

/** What pg says without a code, or pgBouncer with one that says less. */
const MESSAGES: readonly [RegExp, code: string][] = [
  [/statement pooling mode/, 'ROOM_KEYS_NO_TRANSACTIONS'],
  [/^SASL: .* client password must be/, '28P01'],
  [/^The server does not support SSL/, 'HANDSHAKE_NO_SSL_SUPPORT'],
  [/^Connection terminated due to connection timeout|^timeout e/, 'ETIMEDOUT'],
  [/^Connection terminated/, 'PROTOCOL_CONNECTION_LOST'],
];

/** The code of an error of a database's driver, and one such as other drivers have for an error without. */
export function databaseCode({ code, message }: NodeJS.ErrnoException): string {
  const [, better] = MESSAGES.find(([words]) => words.test(message)) ?? [];
  if (better !== undefined) return better;
  return CERTIFICATE.test(code ?? '') ? 'HANDSHAKE_SSL_ERROR' : (code ?? '');
}

/** The text for a start that failed: one sentence where the operator can mend it, else where it happened. */
export function startFailure(error: unknown, variables: Variables): string {
  if (error instanceof SettingError) return error.message;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { prefix, syscall, address } = cause as NodeJS.ErrnoException & {
      prefix?: Prefix;
      address?: string;
    };
    // with the codes that a port may have too
    if (syscall === 'mkdir' || syscall === 'open') return NO_FOLDER;
    if (syscall === 'connect' && address?.startsWith('/')) return NO_SOCKET;
    const advice = ADVICE[databaseCode(cause)];
    if (advice) return advice(variables, prefix);
  }
  if (!(error instanceof Error)) return String(error);
  // what the module finds wrong, it says in a sentence itself
  return error.message.startsWith('RoomKeysModule: ')
    ? error.message
    : (error.stack ?? error.message);
}
