/** DATABASE_URL: the one place of the server that looks at which database it is. */
import type { DataSourceOptions } from 'typeorm';
import type { Environment } from './environment.js';
import { hostOf, type Kind, SettingError } from './setting-kinds.js';

/**
 * How long SQLite waits for a lock by itself, which holds up the whole process: what takes longer is
 * tried again later, and the process does other things meanwhile.
 */
const BUSY_TIMEOUT_MS = 100;
/** After so long without a byte, TCP asks whether the database is still there; ten seconds later it is gone. */
const KEEP_ALIVE_MS = 15_000;

const EXAMPLES = "'sqlite:data/room-keys.db' or 'mysql://user:password@host:3306/database'";

/** The kind of setting that DATABASE_URL is: `sqlite:FILE`, `mysql://…` or `mariadb://…`. */
export const databaseUrl: Kind<URL> = (text, name) => {
  if (!URL.canParse(text)) throw new SettingError(`${name} is not a URL: write ${EXAMPLES}.`);
  const url = new URL(text);
  if (!isDecodable(url)) {
    throw new SettingError(
      `${name} holds a '%' that stands for nothing: write '%25' where one is meant.`,
    );
  }
  switch (url.protocol) {
    case 'sqlite:':
      if (url.pathname === '' || url.hostname || url.search || url.hash)
        throw new SettingError(`${name} names no file: write ${EXAMPLES}.`);
      return url;
    case 'mysql:':
    case 'mariadb:':
      if (!url.hostname || url.pathname.length < 2) {
        throw new SettingError(`${name} names no host or no database: write ${EXAMPLES}.`);
      }
      if (url.search || url.hash) {
        throw new SettingError(
          `${name} holds a query or a fragment, which would do nothing: leave it out, and write DATABASE_TLS=verify-full for a connection that is encrypted.`,
        );
      }
      return url;
    default:
      throw new SettingError(`${name} begins with '${url.protocol}': write ${EXAMPLES}.`);
  }
};

function isDecodable({ pathname, username, password }: URL): boolean {
  try {
    for (const part of [pathname, username, password]) decodeURIComponent(part);
    return true;
  } catch {
    return false;
  }
}

/** Whether it names a SQLite database, in a file or in memory, which is for one process and has no password. */
export const isLocal = ({ protocol }: URL): boolean => protocol === 'sqlite:';

/** The path of the SQLite file; undefined for a database in memory or on a server. */
export function fileOf(url: URL): string | undefined {
  const path = decodeURIComponent(url.pathname);
  return isLocal(url) && path !== ':memory:' ? path : undefined;
}

/** The URL as it can be shown. */
export function withoutCredentials(url: URL): string {
  return isLocal(url) ? url.href : `${url.protocol}//${url.host}${url.pathname}`;
}

/** The database that the settings name, and how it is spoken to. */
export type DatabaseSettings = Pick<
  Environment,
  'databaseUrl' | 'databaseTls' | 'databaseTlsCa' | 'databaseConnections'
>;

type Options<Type> = Extract<DataSourceOptions, { type: Type }>;

/** TypeORM's options for the connections to it. */
export function connectionOptions(
  settings: DatabaseSettings,
): Options<'better-sqlite3' | 'mysql' | 'mariadb'> {
  const url = settings.databaseUrl;
  if (isLocal(url)) return sqliteOptions(url);
  return {
    type: url.protocol === 'mariadb:' ? 'mariadb' : 'mysql',
    // in parts: TypeORM's own reading of a URL takes an address of IPv6 for a name
    host: hostOf(url),
    ...(url.port && { port: Number(url.port) }),
    username: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)),
    charset: 'utf8mb4',
    ...tlsOf(settings),
    poolSize: settings.databaseConnections,
    // The system's own two hours are how long an idle connection to a host that is gone would look well.
    extra: { keepAliveInitialDelay: KEEP_ALIVE_MS },
  };
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

function tlsOf({ databaseTls, databaseTlsCa: ca }: DatabaseSettings) {
  if (databaseTls === 'off') return {};
  return { ssl: { ...(ca && { ca }), verifyIdentity: databaseTls === 'verify-full' } };
}
