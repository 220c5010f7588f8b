/** DATABASE_URL: the one place of the server that looks at which database it is. */
import { userInfo } from 'node:os';
import type { DataSourceOptions } from 'typeorm';
import { hostOf, type Parser, SettingError } from './setting-parsers.js';

/**
 * How long SQLite waits for a lock by itself, which holds up the whole process: what takes longer is
 * tried again later, and the process does other things meanwhile.
 */
const BUSY_TIMEOUT_MS = 100;
/** After so long without a byte, TCP asks whether the database is still there; ten seconds later it is gone. */
const KEEP_ALIVE_MS = 15_000;
/** As long as mysql2 takes by default; pg would wait for as long as the system does. */
const CONNECT_TIMEOUT_MS = 10_000;
/** How long a connection to PostgreSQL is kept that nothing needs. pg's default of 10 seconds is soon over. */
const IDLE_CONNECTION_MS = 60_000;

const EXAMPLES =
  "'sqlite:data/room-keys.db', 'postgres://user:password@host:5432/database' or 'mysql://user:password@host:3306/database'";
const QUERY_OF_MYSQL =
  'has a fragment, or parameters other than socketPath. Remove them, and set DATABASE_TLS=verify-full for an encrypted connection.';
const QUERY_OF_POSTGRES =
  'has a fragment, or parameters other than host, port and schema. Remove them, and set DATABASE_TLS=verify-full for an encrypted connection.';

/** A URL of PostgreSQL that names no host, or leaves it to `?host=`. */
const WITHOUT_HOST = /^(postgres(?:ql)?:\/\/(?:[^/?#]*@)?)(?=\/)/;

/** The kind of setting that DATABASE_URL is: `sqlite:FILE`, `mysql://…`, `mariadb://…` or `postgres://…`. */
export const databaseUrl: Parser<URL> = (text) => {
  const url = parse(text);
  const refusal = url ? refusalOf(url, text) : `is not a URL. Set ${EXAMPLES}.`;
  if (url && refusal === undefined) return url;
  throw new SettingError(refusal);
};

/** The URL that a text is; of one without a host the password could not be set. */
function parse(text: string): URL | undefined {
  const whole = text.replace(WITHOUT_HOST, '$1localhost');
  return URL.canParse(whole) ? new URL(whole) : undefined;
}

/** What is wrong with it, and what to set; undefined if nothing is. */
function refusalOf(url: URL, text: string): string | undefined {
  if (!isDecodable(url))
    return "contains a '%' that does not encode a character. Replace it with '%25'.";
  switch (url.protocol) {
    case 'sqlite:':
      return url.pathname === '' || url.hostname || url.search || url.hash
        ? `does not name a file. Set ${EXAMPLES}.`
        : undefined;
    case 'mysql:':
    case 'mariadb:':
      return mysqlRefusal(url);
    case 'postgres:':
    case 'postgresql:':
      return postgresRefusal(url, text);
    default:
      return `begins with '${url.protocol}', which is not supported. Set ${EXAMPLES}.`;
  }
}

function mysqlRefusal(url: URL): string | undefined {
  if (!url.hostname || url.pathname.length < 2)
    return `lacks a host or a database. Set ${EXAMPLES}.`;
  const { searchParams: query } = url;
  if (url.hash || [...query.keys()].some((key) => key !== 'socketPath')) return QUERY_OF_MYSQL;
  const socket = query.get('socketPath');
  if (socket === null || (socket.startsWith('/') && url.hostname === 'localhost' && !url.port))
    return undefined;
  return "has a socketPath that is not an absolute path, or that is combined with a host or port. Set 'mysql://user@localhost/database?socketPath=/run/mysqld/mysqld.sock'.";
}

function postgresRefusal(url: URL, text: string): string | undefined {
  const { searchParams: query } = url;
  if (url.hash || [...query.keys()].some((key) => !['host', 'port', 'schema'].includes(key)))
    return QUERY_OF_POSTGRES;
  const host = query.get('host') ?? (WITHOUT_HOST.test(text) ? '' : url.hostname);
  if (host === '' || url.pathname.length < 2)
    return "lacks a host or a database. Set 'postgres://user:password@host:5432/database', or 'postgres://user@/database?host=/run/postgresql' for a socket.";
  if (!/^[1-9][0-9]{0,4}$/.test(query.get('port') ?? '1'))
    return "has a port that is not a number. Set one, for example '?port=5433'.";
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(query.get('schema') ?? '_'))
    return "has a schema with characters other than letters, digits and '_'. Set one, for example '?schema=room_keys'.";
  return undefined;
}

function isDecodable({ hostname, pathname, username, password }: URL): boolean {
  try {
    for (const part of [hostname, pathname, username, password]) decodeURIComponent(part);
    return true;
  } catch {
    return false;
  }
}

/** Whether it names a SQLite database, in a file or in memory, which is for one process and has no password. */
export const isLocal = ({ protocol }: URL): boolean => protocol === 'sqlite:';

/** Whether the database is reached through a socket of this machine, on which there is no TLS. */
export const isSocket = (url: URL): boolean => serverOf(url).startsWith('/');

/** Whether a database that needs a password would find none in the URL. */
export function lacksPassword(text: string): boolean {
  const url = parse(text);
  return !url || (!isLocal(url) && url.password === '');
}

/** The path of the SQLite file; undefined for a database in memory or on a server. */
export function fileOf(url: URL): string | undefined {
  const path = decodeURIComponent(url.pathname);
  return isLocal(url) && path !== ':memory:' ? path : undefined;
}

/** The URL as it can be shown. */
export function withoutCredentials(url: URL): string {
  return isLocal(url) ? url.href : `${url.protocol}//${url.host}${url.pathname}${url.search}`;
}

/** The host, MySQL's socket, or the folder of PostgreSQL's. */
const serverOf = (url: URL): string =>
  url.searchParams.get('socketPath') ??
  url.searchParams.get('host') ??
  decodeURIComponent(hostOf(url));

/** The database that the settings name, and how it is spoken to. */
export interface DatabaseSettings {
  databaseUrl: URL;
  databaseTls: 'off' | 'verify-ca' | 'verify-full';
  databaseTlsCa: string | undefined;
  databaseConnections: number;
}

type Options<Type> = Extract<DataSourceOptions, { type: Type }>;

/** TypeORM's options for the connections to it. */
export function connectionOptions(
  settings: DatabaseSettings,
): Options<'better-sqlite3' | 'mysql' | 'mariadb' | 'postgres'> {
  switch (settings.databaseUrl.protocol) {
    case 'sqlite:':
      return sqliteOptions(settings.databaseUrl);
    case 'postgres:':
    case 'postgresql:':
      return postgresOptions(settings);
    case 'mariadb:':
      return { type: 'mariadb', ...mysqlOptions(settings) };
    default:
      return { type: 'mysql', ...mysqlOptions(settings) };
  }
}

function sqliteOptions(url: URL): Options<'better-sqlite3'> {
  return {
    type: 'better-sqlite3',
    database: decodeURIComponent(url.pathname),
    prepareDatabase: (database: { pragma(text: string): unknown; readonly: boolean }) => {
      // what is acknowledged survives a loss of power: better-sqlite3's own default does not promise it
      database.pragma('synchronous = FULL');
      // a connection that reads a restore
      if (database.readonly) return;
      database.pragma('journal_mode = WAL');
      // not before: of servers that start at once, each waits to switch to WAL
      database.pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`);
    },
  };
}

/** Host, database and who comes there, in parts: TypeORM's own reading of a URL takes an address of IPv6 for a name. */
const partsOf = (url: URL) => ({
  host: serverOf(url),
  ...(url.port && { port: Number(url.port) }),
  username: decodeURIComponent(url.username),
  password: decodeURIComponent(url.password),
  database: decodeURIComponent(url.pathname.slice(1)),
});

function mysqlOptions(settings: DatabaseSettings) {
  const { databaseTls, databaseTlsCa: ca } = settings;
  const { databaseUrl: url } = settings;
  const { host, ...parts } = partsOf(url);
  return {
    ...parts,
    ...(isSocket(url) ? { socketPath: host } : { host }),
    charset: 'utf8mb4',
    ...(databaseTls !== 'off' &&
      !isSocket(url) && {
        ssl: { ...(ca && { ca }), verifyIdentity: databaseTls === 'verify-full' },
      }),
    poolSize: settings.databaseConnections,
    // BEGIN shares a message with the next statement; every value is a literal of the module
    multipleStatements: true,
    // The system's own two hours are how long an idle connection to a host that is gone would look well.
    extra: { keepAliveInitialDelay: KEEP_ALIVE_MS },
  };
}

function postgresOptions(settings: DatabaseSettings): Options<'postgres'> {
  const url = settings.databaseUrl;
  const { databaseTls, databaseTlsCa: ca } = settings;
  const parts = partsOf(url);
  const port = url.searchParams.get('port');
  const schema = url.searchParams.get('schema');
  return {
    type: 'postgres',
    ...parts,
    ...(port !== null && { port: Number(port) }),
    // without one it is the user of this process, as peer authentication wants it
    username: parts.username || ownName(),
    ...(schema !== null && { schema }),
    // said in any case: pg looks at PGSSLMODE otherwise
    ssl:
      databaseTls === 'off' || isSocket(url)
        ? false
        : {
            ...(ca && { ca }),
            ...(databaseTls === 'verify-ca' && { checkServerIdentity: () => undefined }),
          },
    applicationName: 'room-keys',
    poolSize: settings.databaseConnections,
    connectTimeoutMS: CONNECT_TIMEOUT_MS,
    extra: {
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
      idleTimeoutMillis: IDLE_CONNECTION_MS,
    },
  };
}

function ownName(): string {
  try {
    return userInfo().username;
  } catch {
    // the system has no name for the user, as in some containers
    return '';
  }
}
