import type { Query } from './key-set-pages.js';
import type { Storage } from './key-rows.js';
import { type ImportRecord, ImportRecords } from './import-records.js';
import { numberOrUndefined, placeholders, text } from './rows.js';

/** A stored backup, as far as imports and exports need to know. */
export interface StoredBackup {
  version: number;
  keySetId: number;
  algorithm: string;
  authData: string;
  etag: number;
  keyCount: number;
  largestKey: number;
  createdAt: number;
  changedAt: number;
  /** undefined where it was never imported */
  record: ImportRecord | undefined;
}

/** A user who has or had backups here. */
export interface StoredUser {
  lastVersion: number;
  currentVersion: number | undefined;
  /** Versions that were never imported and are not deleted, in ascending order. */
  reserved: readonly number[];
  /** Whether imports remember a version of the user, deleted or not: none of one who was erased. */
  wasImported: boolean;
  /** Those that are not deleted, oldest first. */
  backups: readonly StoredBackup[];
}

/** 3 statements: those of the users who ever had a backup here. */
export async function readStoredUsers(
  query: Query,
  storage: Storage,
  users: readonly Buffer[],
): Promise<Map<string, StoredUser>> {
  if (users.length === 0) return new Map();
  const which = placeholders(users.length);
  const { tables } = storage;
  const owners = await query(
    `SELECT user_id, last_version, current_version FROM ${tables.users} WHERE user_id IN (${which})`,
    users,
  );
  const rows = await query(
    `SELECT user_id, version, key_set_id, algorithm, auth_data, etag, key_count, largest_key, created_at, changed_at
     FROM ${tables.backups} WHERE user_id IN (${which}) ORDER BY user_id, version`,
    users,
  );
  const records = await new ImportRecords(storage).read(query, users);
  const backups = new Map<string, StoredBackup[]>();
  for (const row of rows) {
    const userId = text(row.user_id);
    const version = Number(row.version);
    const ofUser = backups.get(userId) ?? [];
    backups.set(userId, ofUser);
    ofUser.push({
      version,
      keySetId: Number(row.key_set_id),
      algorithm: text(row.algorithm),
      authData: row.auth_data as string,
      etag: Number(row.etag),
      keyCount: Number(row.key_count),
      largestKey: Number(row.largest_key),
      createdAt: Number(row.created_at),
      changedAt: Number(row.changed_at),
      record: records.get(userId)?.get(version),
    });
  }
  return new Map(
    owners.map((row) => {
      const userId = text(row.user_id);
      const user: StoredUser = {
        lastVersion: Number(row.last_version),
        currentVersion: numberOrUndefined(row.current_version),
        reserved: [...(records.get(userId) ?? [])].flatMap(([version, record]) =>
          record ? [] : version,
        ),
        wasImported: [...(records.get(userId)?.values() ?? [])].some((record) => record),
        backups: backups.get(userId) ?? [],
      };
      return [userId, user];
    }),
  );
}
