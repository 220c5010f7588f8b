/** The SQL of a verification that reads sets as a whole: what their keys come to, and rows that belong to nothing. */
import type { Snapshot } from './database/connection.js';
import type { Tables } from './database/dialect.js';
import { WHOLE_SET } from './kept-deletions.js';
import type { RoomKeysFinding } from './verification.js';
import { finding, type KeyFacts, plural, shown, withoutUser } from './verification-rules.js';

/**
 * 7 statements, each of which goes once through the index of a table: rows that are not reached from any
 * user. NOT IN, since each of the databases makes a table in memory of it once.
 */
export async function* orphanedRows(
  snapshot: Snapshot,
  { users, backups, keySets, rooms, retiredRooms, keys, deleted }: Tables,
): AsyncGenerator<RoomKeysFinding> {
  const ownerless = await snapshot.rows(
    `SELECT b.user_id, b.version FROM ${backups} b LEFT JOIN ${users} u ON u.user_id = b.user_id
       WHERE u.user_id IS NULL`,
  );
  for (const row of ownerless) yield withoutUser(row);
  const shared = await snapshot.rows(
    `SELECT key_set_id, COUNT(*) AS count FROM ${backups} GROUP BY key_set_id HAVING COUNT(*) > 1`,
  );
  for (const row of shared) {
    yield finding('key-set-shared', `${Number(row.count)} backups have the same key set.`, {
      keySetId: Number(row.key_set_id),
    });
  }
  const forgotten = await snapshot.rows(
    `SELECT key_set_id FROM ${keySets}
       WHERE retired_at IS NULL AND key_set_id NOT IN (SELECT key_set_id FROM ${backups})`,
  );
  for (const row of forgotten) {
    const keySetId = Number(row.key_set_id);
    const count = await countRows(snapshot, keys, keySetId);
    yield finding(
      'key-set-without-backup',
      `The key set belongs to no backup and does not wait to be swept; ${plural(count, 'key')} in it would never be removed.`,
      { keySetId },
    );
  }
  const orphaned = await snapshot.rows(
    `SELECT d.user_id, d.version, d.key_set_id, d.room_no, u.user_id AS owner FROM ${deleted} d
       LEFT JOIN ${users} u ON u.user_id = d.user_id
       LEFT JOIN ${keySets} s ON s.key_set_id = d.key_set_id AND s.retired_at IS NOT NULL
       LEFT JOIN ${retiredRooms} r ON r.key_set_id = d.key_set_id AND r.room_no = d.room_no
       WHERE u.user_id IS NULL OR (d.room_no = ${WHOLE_SET} AND s.key_set_id IS NULL)
         OR (d.room_no <> ${WHOLE_SET} AND r.key_set_id IS NULL)`,
  );
  for (const row of orphaned) {
    yield finding(
      'deleted-keys',
      row.owner === null
        ? 'A deletion that can be undone belongs to a user who has no row.'
        : 'The keys of a deletion that can be undone do not wait to be removed.',
      {
        userId: shown(row.user_id),
        version: String(Number(row.version)),
        keySetId: Number(row.key_set_id),
      },
    );
  }
  for (const [code, table, what] of [
    ['keys-without-key-set', keys, 'key'],
    ['rooms-without-key-set', rooms, 'room'],
    ['rooms-without-key-set', retiredRooms, 'deleted room'],
  ] as const) {
    const unknown = await snapshot.rows(
      `SELECT DISTINCT key_set_id FROM ${table}
         WHERE key_set_id NOT IN (SELECT key_set_id FROM ${keySets})`,
    );
    for (const row of unknown) {
      const keySetId = Number(row.key_set_id);
      const count = await countRows(snapshot, table, keySetId);
      yield finding(code, `${plural(count, what)} of a key set that does not exist.`, {
        keySetId,
      });
    }
  }
}

async function countRows(snapshot: Snapshot, table: string, keySetId: number): Promise<number> {
  const [row] = await snapshot.rows(`SELECT COUNT(*) AS count FROM ${table} WHERE key_set_id = ?`, [
    keySetId,
  ]);
  return Number(row?.count);
}

/** 1 statement: what the keys of a set come to, without those of deleted rooms. */
export async function factsOf(
  snapshot: Snapshot,
  { keys, retiredRooms }: Tables,
  keySetId: number,
): Promise<KeyFacts> {
  const [row] = await snapshot.rows(
    `SELECT COUNT(*) AS count, SUM(OCTET_LENGTH(session_data)) AS bytes,
       MAX(OCTET_LENGTH(session_data)) AS largest, MAX(seq) AS seq
     FROM ${keys} WHERE key_set_id = ?
       AND room_no NOT IN (SELECT room_no FROM ${retiredRooms} WHERE key_set_id = ?)`,
    [keySetId, keySetId],
  );
  return {
    count: Number(row?.count),
    bytes: Number(row?.bytes ?? 0),
    largest: Number(row?.largest ?? 0),
    highestSeq: Number(row?.seq ?? -1),
  };
}
