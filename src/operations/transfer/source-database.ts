/** Connections to the database of a homeserver, which is only read. */
import { existsSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SourceError } from './backup-source.js';
import type { Row } from '../../room-keys/storage/database/connection.js';

/** Reads from the database of a homeserver. */
export interface SourceDatabase {
  /** @param sql with `?` for each parameter */
  query(sql: string, parameters?: unknown[]): Promise<Row[]>;
  /** Until `end`, all queries read one consistent snapshot. */
  begin(): Promise<void>;
  end(): Promise<void>;
  close(): Promise<void>;
  /** The function that counts the bytes of a text. */
  readonly bytesOf: (column: string) => string;
}

/**
 * Opens the database of a homeserver.
 *
 * @param from `postgres://user@host/database`, where `PGPASSWORD` or `~/.pgpass` may hold the password,
 *   or the path of a SQLite file, with or without `sqlite:` before it
 * @throws SourceError
 */
export async function openSourceDatabase(from: string): Promise<SourceDatabase> {
  if (/^postgres(ql)?:/.test(from)) return openPostgres(from);
  const path = from.replace(/^sqlite:(\/\/(?=\/))?/, '');
  if (/^\w+:\/\//.test(path)) {
    throw new SourceError(
      'The source is not the database of a homeserver. Set --from to postgres://user@host/database, or to the path of a SQLite file.',
    );
  }
  return openSqlite(from.startsWith('file:') ? fileURLToPath(from) : path);
}

async function openPostgres(url: string): Promise<SourceDatabase> {
  const { default: pg } = await import('pg').catch((error: unknown) => {
    throw new SourceError(
      "Reading from PostgreSQL requires the package 'pg'. Run 'npm install pg'.",
      {
        cause: error,
      },
    );
  });
  let client: InstanceType<typeof pg.Client>;
  try {
    client = new pg.Client({ connectionString: url, application_name: 'nestjs-room-keys import' });
  } catch (error) {
    const { code, syscall, path } = error as NodeJS.ErrnoException;
    if (syscall === 'open') {
      throw new SourceError(
        `The file ${path} in --from cannot be read (${code}). Check its path, and that this user may read it.`,
      );
    }
    // its own error quotes the URL
    throw new SourceError(
      'The URL of the source is not valid. Set --from to postgres://user@host/database.',
    );
  }
  // a connection that breaks fails the query that is under way, or the next one: nothing to do here
  client.on('error', () => undefined);
  const query = async (text: string, values: unknown[] = []) => {
    try {
      return (await client.query({ text, values })).rows as Row[];
    } catch (error) {
      throw asSourceError(error);
    }
  };
  try {
    await client.connect();
  } catch (error) {
    // a connection that waits for a password would keep the process from ending
    void client.end().catch(() => undefined);
    throw passwordFailure(error, client) ?? asSourceError(error);
  }
  await query('SET default_transaction_read_only = on');
  return {
    query: (sql, parameters) => {
      let number = 0;
      return query(
        sql.replace(/\?/g, () => `$${++number}`),
        parameters,
      );
    },
    begin: async () => {
      await query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    },
    end: async () => {
      await query('ROLLBACK').catch(() => undefined);
    },
    close: () => client.end().catch(() => undefined),
    bytesOf: (column) => `octet_length(${column})`,
  };
}

async function openSqlite(path: string): Promise<SourceDatabase> {
  if (!existsSync(path)) {
    throw new SourceError(
      `There is no file ${path}. Check the path of the homeserver's SQLite file.`,
    );
  }
  const { default: Sqlite } = await import('better-sqlite3').catch((error: unknown) => {
    throw new SourceError(
      "Reading from SQLite requires the package 'better-sqlite3'. Run 'npm install better-sqlite3'.",
      { cause: error },
    );
  });
  const attempt = <T>(work: () => T): Promise<T> => {
    try {
      return Promise.resolve(work());
    } catch (error) {
      return Promise.reject(asSourceError(error));
    }
  };
  const database = await attempt(() => new Sqlite(path, { readonly: true, fileMustExist: true }));
  return {
    query: (sql, parameters = []) =>
      attempt(() => database.prepare(sql).all(...parameters) as Row[]),
    begin: async () => {
      await attempt(() => database.exec('BEGIN'));
    },
    end: async () => {
      await attempt(() => database.inTransaction && database.exec('ROLLBACK'));
    },
    close: async () => {
      await attempt(() => database.close());
    },
    bytesOf: (column) => `length(CAST(${column} AS BLOB))`,
  };
}

/** What the operator can do; of what the database reports, no more than its code. */
function asSourceError(error: unknown): SourceError {
  const { code, message, syscall } = error as NodeJS.ErrnoException;
  const advice =
    MESSAGES.find(([words]) => words.test(`${code} ${message}`))?.[1] ??
    (syscall === 'connect' && message.includes(' /') ? NO_SOCKET : ADVICE[code ?? '']);
  return new SourceError(
    advice ??
      `The source cannot be read (${code ?? message}). Check that it is running, and run the same command again.`,
    { cause: error },
  );
}

const NO_SOCKET =
  'No database answers on the socket in --from. Check that it is running, and that this user may use the socket.';

/** What pg reports without a code, or with one of many that mean the same. */
const MESSAGES: readonly [RegExp, advice: string][] = [
  [
    /The server does not support SSL/,
    "The source does not offer TLS, which 'sslmode' in --from requires. Enable it in PostgreSQL (ssl = on), or remove 'sslmode'.",
  ],
  [
    /^(CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|ERR_TLS_CERT_)/,
    "The certificate of the source is not trusted. Add 'sslrootcert=FILE' to --from with the certificate of its issuer, and use the host name that it is issued for.",
  ],
  [
    /no pg_hba\.conf entry .*(no encryption|SSL off)/,
    "The source does not allow this user to connect from here without TLS. Add 'sslmode=verify-full' to --from, or a line to pg_hba.conf.",
  ],
  [
    /Connection terminated due to connection timeout|^ETIMEDOUT|^EHOSTUNREACH|^ENETUNREACH/,
    'The host of the source cannot be reached. Check host and port in --from, and whether a firewall blocks them.',
  ],
  [
    /Connection terminated|^ECONNRESET/,
    'The connection to the source was lost. Check that its database is running, and run the same command again.',
  ],
];

const ADVICE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'The database of the source cannot be reached. Check host and port in --from.',
  ENOTFOUND: 'The host of the source cannot be resolved. Check its name in --from.',
  '28P01':
    'The source rejects the user or the password. Check the user in --from and the password in PGPASSWORD.',
  EAI_AGAIN: 'The host of the source cannot be resolved. Check its name in --from.',
  '28000':
    'The source does not allow this user to connect from here. Check the user in --from (on a socket with peer authentication, the user of this process), or add a line for it to pg_hba.conf.',
  '3D000': 'The database of the source does not exist. Check its name in --from.',
  '42P01':
    'The source does not have the tables of this homeserver. Check that --from is its database.',
  '42703': 'The tables of the source lack columns. The version of its homeserver is not supported.',
  '53300': 'The source has no free connection. Run the same command again later.',
  '57P03': 'The source is starting up or shutting down. Run the same command again.',
  '42501': 'The user may not read the tables of the source. Grant it SELECT on them.',
  SQLITE_ERROR:
    'The source does not have the tables and columns of this homeserver. Check that --from is its database.',
  SQLITE_NOTADB: 'The source is not a SQLite database. Check the path in --from.',
  SQLITE_CANTOPEN: 'The file of the source cannot be opened. Check that this user may read it.',
  SQLITE_BUSY:
    'The source is locked by its homeserver. Stop the homeserver, or import from a copy of the file.',
};

/** Where the source was looked for. */
interface Address {
  host: string;
  port: number;
  user?: string | undefined;
  database?: string | undefined;
}

/** Why pg found no password; undefined for another failure. pg ignores a password file that others can read. */
function passwordFailure(error: unknown, source: Address): SourceError | undefined {
  if (!/^SASL: .* client password must be/.test((error as Error).message)) return undefined;
  const { PGPASSFILE } = process.env;
  const file = PGPASSFILE ?? join(homedir(), '.pgpass');
  const found = statSync(file, { throwIfNoEntry: false });
  return new SourceError(reason(file, found, PGPASSFILE !== undefined, source), { cause: error });
}

function reason(
  file: string,
  found: { mode: number; isFile(): boolean } | undefined,
  isNamed: boolean,
  { host, port, user, database }: Address,
): string {
  if (found && (found.mode & 0o077) !== 0) {
    const mode = (found.mode & 0o777).toString(8).padStart(4, '0');
    return `The password file ${file} is ignored, because other users can read it (mode ${mode}). Run 'chmod 600 ${file}'.`;
  }
  if (found)
    return `The password file ${file} has no line for the source. Add '${host}:${port}:${database}:${user}:PASSWORD' to it.`;
  if (isNamed) return `The password file in PGPASSFILE, ${file}, does not exist. Check its path.`;
  return `The source requires a password, and none is set. Set PGPASSWORD, or PGPASSFILE to a file with the line '${host}:${port}:${database}:${user}:PASSWORD' and mode 0600.`;
}
