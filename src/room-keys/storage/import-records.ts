/** What imports remember of versions: see `ImportedVersionEntity`. */
import { hash } from 'node:crypto';
import type { Connection } from './database/connection.js';
import type { Query } from './key-set-pages.js';
import type { Storage } from './key-rows.js';
import { chunks, hex, numberOrUndefined, placeholders, text } from './rows.js';

/** A version as it was last imported. */
export interface ImportRecord {
  /** The etag in the source. */
  sourceEtag: number;
  /** The etag here that says that only imports have changed the keys; undefined where there is none. */
  etag: number | undefined;
  /** See {@link hashOf}: of the source's `auth_data`. */
  authDataHash: string;
}

export const hashOf = (authData: string): string => hash('sha256', authData);

/** The SQL of `room_keys_imports`. Its rows are written under the lock of their user. */
export class ImportRecords {
  constructor(private readonly storage: Storage) {}

  /** 1 statement, no lock: of each user, versions in ascending order; undefined for one that is reserved. */
  async read(
    query: Query,
    users: readonly Buffer[],
  ): Promise<Map<string, Map<number, ImportRecord | undefined>>> {
    const found = new Map<string, Map<number, ImportRecord | undefined>>();
    const rows = await query(
      `SELECT user_id, version, source_etag, etag, auth_data_hash FROM ${this.storage.tables.imports}
       WHERE user_id IN (${placeholders(users.length)}) ORDER BY user_id, version`,
      users,
    );
    for (const row of rows) {
      const userId = text(row.user_id);
      const sourceEtag = numberOrUndefined(row.source_etag);
      const etag = numberOrUndefined(row.etag);
      const record =
        sourceEtag === undefined
          ? undefined
          : { sourceEtag, etag, authDataHash: hex(row.auth_data_hash) };
      const versions = found.get(userId) ?? new Map<number, ImportRecord | undefined>();
      found.set(userId, versions.set(Number(row.version), record));
    }
    return found;
  }

  /** 1 statement. */
  async write(
    connection: Connection,
    user: Buffer,
    version: number,
    { sourceEtag, etag, authDataHash }: ImportRecord,
  ): Promise<void> {
    const { dialect, tables } = this.storage;
    const assignments = ['source_etag', 'etag', 'auth_data_hash'].map(
      (column) => `${column} = ${dialect.inserted(column)}`,
    );
    await connection.execute(
      `INSERT INTO ${tables.imports} (user_id, version, source_etag, etag, auth_data_hash)
       VALUES (?, ?, ?, ?, ?) ${dialect.onConflict('user_id, version')} ${assignments.join(', ')}`,
      [user, version, sourceEtag, etag ?? null, Buffer.from(authDataHash, 'hex')],
    );
  }

  /** 1 statement per 500 versions that are added, and 1 per 500 that are removed: the user has these reserved ones. */
  async reserve(
    connection: Connection,
    user: Buffer,
    before: readonly number[],
    after: readonly number[],
  ): Promise<void> {
    const { dialect, tables } = this.storage;
    const added = after.filter((version) => !before.includes(version));
    for (const some of chunks(added, dialect.rowsPerStatement)) {
      await connection.execute(
        `INSERT INTO ${tables.imports} (user_id, version) VALUES ${some.map(() => '(?, ?)').join()}`,
        some.flatMap((version) => [user, version]),
      );
    }
    const removed = before.filter((version) => !after.includes(version));
    for (const some of chunks(removed, dialect.rowsPerStatement)) {
      await connection.execute(
        `DELETE FROM ${tables.imports}
         WHERE user_id = ? AND source_etag IS NULL AND version IN (${placeholders(some.length)})`,
        [user, ...some],
      );
    }
  }
}
