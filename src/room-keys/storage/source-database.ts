/** Connections to the database of a homeserver, which is read and never written. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Row } from './database/connection.js';

/** The database of a homeserver cannot be read; the message is one sentence for the operator, without a password. */
export class SourceError extends Error {}

/** Reads from a database that somebody else writes to. */
export interface SourceDatabase {
  /** @param sql with `?` for each parameter */
  query(sql: string, parameters?: unknown[]): Promise<Row[]>;
  /** Until `end`, each query sees the same moment's state. */
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
      'The source is no database of a homeserver: write postgres://user@host/database, or the path of a SQLite file.',
    );
  }
  return openSqlite(from.startsWith('file:') ? fileURLToPath(from) : path);
}

async function openPostgres(url: string): Promise<SourceDatabase> {
  const { default: pg } = await import('pg').catch((error: unknown) => {
    throw new SourceError("The package 'pg' reads from PostgreSQL: run 'npm install pg' first.", {
      cause: error,
    });
  });
  let client: InstanceType<typeof pg.Client>;
  try {
    client = new pg.Client({ connectionString: url, application_name: 'nestjs-room-keys import' });
  } catch {
    // its own error quotes the URL
    throw new SourceError(
      'The URL of the source cannot be read: write postgres://user@host/database.',
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
    throw asSourceError(error);
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
      `There is no file ${path}: write the path of the homeserver's SQLite file.`,
    );
  }
  const { default: Sqlite } = await import('better-sqlite3').catch((error: unknown) => {
    throw new SourceError(
      "The package 'better-sqlite3' reads from SQLite: run 'npm install better-sqlite3' first.",
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

/** Says what the operator can do; of what the database says, no more than its code. */
function asSourceError(error: unknown): SourceError {
  const { code } = (error ?? {}) as { code?: unknown };
  const advice = ADVICE[typeof code === 'string' ? code : ''];
  const message =
    advice ??
    `The source cannot be read${typeof code === 'string' ? ` (${code})` : ': the connection to it broke off'}. Run the same command again.`;
  return new SourceError(message, { cause: error });
}

const ADVICE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'No database answers at the host and port of the source: write others.',
  ENOTFOUND: 'The host of the source is not known: write the name of one that is.',
  '28P01':
    'The source refuses the user or the password: write the right ones, the password in PGPASSWORD.',
  '28000': 'The source refuses the user: write one that may read its tables.',
  '3D000': 'The database that the source names does not exist: write the name of one that does.',
  '42P01':
    'The source has no such tables: write the database of the homeserver that the command names.',
  '42703':
    'The tables of the source lack columns: its homeserver is older or newer than what is known here.',
  '42501': 'The source does not let the user read its tables: grant it SELECT on them.',
  SQLITE_ERROR:
    'The source has no such tables or columns: write the database of the homeserver that the command names.',
  SQLITE_NOTADB: 'The source is no SQLite database: write the path of another file.',
  SQLITE_CANTOPEN: 'The file of the source cannot be opened: write one that this user may read.',
  SQLITE_BUSY:
    'The source is being written to: stop its homeserver, or import from a copy of the file.',
};
