/** Writes the rows of backups. */
import type { BackupInformation } from '../room-key.js';
import type { Connection } from './database/connection.js';
import type { Tables } from './database/dialect.js';
import { appendRest, insertKeySet, type Storage } from './key-rows.js';
import { bytes, chunks, numberOrUndefined, placeholders } from './rows.js';

/** A backup with an existing key set. */
export interface FilledBackup {
  version: number;
  algorithm: string;
  authData: string;
  etag: number;
  keys: {
    keySetId: number;
    keyCount: number;
    byteCount: number;
    largestKey: number;
    nextSeq: number;
  };
  /** Milliseconds since 1970; now where it is not given. */
  createdAt?: number | undefined;
  changedAt?: number | undefined;
}

/**
 * 4 statements, 5 with `check`, and 1 more where the user has a backup: makes an empty backup, which is the current one
 * from then on. The user's row comes first, and is the lock.
 * Returns its number, and that of the backup that was the current one.
 *
 * @param check called with how many backups the user has; may throw
 */
export async function insertBackup(
  connection: Connection,
  storage: Storage,
  user: Buffer,
  information: BackupInformation,
  check?: (backupCount: number) => void,
): Promise<{ version: number; former: number | undefined }> {
  const { dialect, tables } = storage;
  const { users, backups } = tables;
  // In this order it reads the same where assignments see each other's effect (MySQL) and
  // where they do not (SQLite).
  await connection.defer(
    `INSERT INTO ${users} (user_id, last_version, current_version) VALUES (?, 1, 1)
     ${dialect.onConflict('user_id')} current_version = ${users}.last_version + 1,
       last_version = ${users}.last_version + 1`,
    [user],
  );
  const [row] = await connection.rows(
    `SELECT last_version AS version,
       (SELECT MAX(version) FROM ${backups} WHERE user_id = ?) AS former
     FROM ${users} WHERE user_id = ?`,
    [user, user],
  );
  const version = Number(row?.version);
  const former = numberOrUndefined(row?.former);
  await supersede(connection, storage, user, former);
  if (check) {
    const [others] = await connection.rows(
      `SELECT COUNT(*) AS count FROM ${backups} WHERE user_id = ?`,
      [user],
    );
    check(Number(others?.count));
  }
  const keySetId = await insertKeySet(connection, storage, null);
  const keys = { keySetId, keyCount: 0, byteCount: 0, largestKey: 0, nextSeq: 0 };
  await insertFilledBackup(connection, storage, user, { ...information, version, etag: 0, keys });
  return { version, former };
}

/** 1 statement, more for a large text: creates a backup with an existing key set. */
export async function insertFilledBackup(
  connection: Connection,
  { dialect, tables }: Storage,
  user: Buffer,
  { version, algorithm, authData, etag, keys, createdAt, changedAt }: FilledBackup,
): Promise<void> {
  const { keySetId, keyCount, byteCount, largestKey, nextSeq } = keys;
  const created = createdAt === undefined ? dialect.now : String(Math.trunc(createdAt));
  const changed = changedAt === undefined ? dialect.now : String(Math.trunc(changedAt));
  await connection.defer(
    `INSERT INTO ${tables.backups} (user_id, version, key_set_id, algorithm, auth_data, etag, key_count,
       byte_count, largest_key, next_seq, created_at, changed_at)
     VALUES (${placeholders(10)}, ${created}, ${
       // the clocks of those who wrote the one and the other may differ
       dialect.greatest(changed, created)
     })`,
    [
      user,
      version,
      keySetId,
      bytes(algorithm),
      authData.slice(0, connection.textLimits.perStatement),
      etag,
      keyCount,
      byteCount,
      largestKey,
      nextSeq,
    ],
  );
  await appendAuthData(connection, tables, [user, version], authData);
}

/** What was erased of a user. */
export interface Erased {
  backups: number;
  /** Keys in them. */
  keys: number;
  /** Deletions that could have been undone. */
  kept: number;
}

/**
 * 6 statements, 7 where deletions could be undone, however many keys there are: forgets all backups of a user, and
 * retires their keys, those of deletions too.
 */
export async function deleteBackups(
  connection: Connection,
  { dialect, tables }: Storage,
  user: Buffer,
): Promise<Erased> {
  const { users, backups, keySets, imports, deleted } = tables;
  // comes first, as in every change: it takes the lock
  await connection.defer(
    `UPDATE ${users} SET current_version = NULL, revision = revision + 1 WHERE user_id = ?`,
    [user],
  );
  // locked each: a node of a cluster that gives one of them another key set meanwhile does so in
  // spite of the user's lock, and the other set would stay for ever
  const sets = await connection.rows(
    `SELECT key_set_id, key_count FROM ${backups} WHERE user_id = ?${dialect.forUpdate}`,
    [user],
  );
  const kept = await connection.rows(
    `SELECT key_set_id FROM ${deleted} WHERE user_id = ?${dialect.forUpdate}`,
    [user],
  );
  const setIds = new Set([...sets, ...kept].map((row) => Number(row.key_set_id)));
  // not by a subquery: MariaDB before 11.1 would go through, and lock, every row of the table
  for (const some of chunks([...setIds], dialect.rowsPerStatement)) {
    await connection.defer(
      `UPDATE ${keySets} SET retired_at = ${dialect.now} WHERE key_set_id IN (${placeholders(some.length)})`,
      some,
    );
  }
  await connection.defer(`DELETE FROM ${backups} WHERE user_id = ?`, [user]);
  await connection.defer(`DELETE FROM ${imports} WHERE user_id = ?`, [user]);
  if (kept.length > 0) {
    await connection.defer(`DELETE FROM ${deleted} WHERE user_id = ?`, [user]);
  }
  return {
    backups: sets.length,
    keys: sets.reduce((sum, row) => sum + Number(row.key_count), 0),
    kept: kept.length,
  };
}

/** 1 statement: a version that is reserved counts as deleted from now on. */
export async function deleteReservation(
  connection: Connection,
  { tables }: Storage,
  user: Buffer,
  version: number,
): Promise<void> {
  await connection.defer(
    `DELETE FROM ${tables.imports} WHERE user_id = ? AND version = ? AND source_etag IS NULL`,
    [user, version],
  );
}

/**
 * 1 statement where there is such a backup, none where locks hold for all who write: takes a step in the backup
 * whose place as the current one another takes. An upload to it that is under way on another node of a cluster,
 * which does not see the user's lock, writes the same row, and so is begun again, and refused.
 *
 * @param version of the backup that was the current one
 */
export async function supersede(
  connection: Connection,
  { dialect, tables }: Storage,
  user: Buffer,
  version: number | undefined,
): Promise<void> {
  if (!dialect.locksAreLocal || version === undefined) return;
  // no key takes the number that is left out
  await connection.defer(
    `UPDATE ${tables.backups} SET next_seq = next_seq + 1 WHERE user_id = ? AND version = ?`,
    [user, version],
  );
}

/** As `appendRest`, for the `auth_data` of a backup whose row was just written. */
export function appendAuthData(
  connection: Connection,
  { backups }: Tables,
  backup: [user: Buffer, version: number],
  authData: string,
): Promise<void> {
  return appendRest(connection, authData, {
    table: backups,
    column: 'auth_data',
    where: 'user_id = ? AND version = ?',
    parameters: backup,
  });
}
