/** What is known of stored keys when new ones come. */
import type { KeyId, KeyRank, KeysState } from '../room-key.js';
import type { Connection, Row } from './database/connection.js';
import { asOfNow } from './database/dialect.js';
import { asRank, chunks, hex, idHash, text } from './rows.js';
import type { Storage } from './key-rows.js';

/** A stored key as far as a new one is compared with it. */
export interface StoredRank extends KeyRank {
  /** Identifies the row to `LockedBackup.replace`. */
  row: StoredRow;
}

export interface StoredRow {
  roomNo: number;
  seq: number;
  bytes: number;
}

/** What `RoomKeysRepository.readForUpload` finds, all in one consistent read: a backup, and the ranks of some keys in it. */
export interface UploadSnapshot {
  /** Whether its reads are as durable as its commits: see `Connection.readsAreConfirmed`. */
  isConfirmed: boolean;
  /** Whether it is the user's current backup. */
  isCurrent: boolean;
  state: KeysState;
  /** The ranks of the keys that were asked for, in their order; undefined for those that are not stored. */
  ranks: readonly (StoredRank | undefined)[];
  /** Of the keys that were asked for. */
  hashes: ReadonlyMap<KeyId, string>;
  /** The numbers of their rooms, as far as they have one. */
  roomNumbers: ReadonlyMap<string, number>;
  /** Equal as long as no key of the backup has changed. */
  rowVersion: RowVersion;
}

export interface RowVersion {
  keySetId: number;
  etag: number;
  changedAt: number;
}

/**
 * The rows that were found by the ids of keys. Only a row with the number that its room has now counts: others
 * are of a room that was deleted, and wait to be removed.
 */
export class FoundKeys<V> {
  readonly roomNumbers = new Map<string, number>();
  private readonly rows = new Map<string, V>();

  add(hash: string, roomNo: number, value: V): void {
    this.rows.set(`${hash}${roomNo}`, value);
  }

  /** @param hash of the key's ids */
  get(hash: string, { roomId }: KeyId): V | undefined {
    const roomNo = this.roomNumbers.get(roomId);
    return roomNo === undefined ? undefined : this.rows.get(`${hash}${roomNo}`);
  }
}

/** 1 statement, no lock: see {@link UploadSnapshot}; undefined if the backup does not exist. */
export async function readForUpload(
  connection: Connection,
  { dialect, tables }: Storage,
  { userId, version }: { userId: string; version: number },
  keys: readonly KeyId[],
): Promise<UploadSnapshot | undefined> {
  const { users, backups, rooms, keys: table } = tables;
  const values = dialect.values();
  const user = () => values.bytesOf(userId);
  const hashes = new Map(keys.map((key) => [key, idHash(key)]));
  const roomIds = [...new Set(keys.map(({ roomId }) => roomId))];
  // three kinds of rows in one statement, and so in one consistent read
  const rows = await connection.rows(
    `SELECT 'backup' AS kind, NULL AS id, b.key_set_id AS n1, b.etag AS n2, b.key_count AS n3,
       b.changed_at AS n4, CASE WHEN u.current_version = b.version THEN 1 ELSE 0 END AS n5, 0 AS n6
     FROM ${users} u JOIN ${backups} b ON b.user_id = u.user_id
     WHERE u.user_id = ${user()} AND b.version = ${values.integer(version)}
     UNION ALL SELECT 'key', k.id_hash, k.room_no, k.seq, k.first_message_index,
       k.forwarded_count, k.is_verified, OCTET_LENGTH(k.session_data)
     FROM ${backups} b JOIN ${table} k ON k.key_set_id = b.key_set_id
     WHERE b.user_id = ${user()} AND b.version = ${values.integer(version)}
       AND k.id_hash IN (${[...hashes.values()].map((hash) => values.hex(hash)).join()})
     UNION ALL SELECT 'room', r.room_id, r.room_no, NULL, NULL, NULL, NULL, NULL
     FROM ${backups} b JOIN ${rooms} r ON r.key_set_id = b.key_set_id
     WHERE b.user_id = ${user()} AND b.version = ${values.integer(version)}
       AND r.room_id IN (${roomIds.map((roomId) => values.bytesOf(roomId)).join()})`,
    values.parameters,
  );
  let backup: Row | undefined;
  const found = new FoundKeys<StoredRank>();
  for (const row of rows) {
    const n1 = Number(row.n1);
    if (row.kind === 'backup') backup = row;
    else if (row.kind === 'room') found.roomNumbers.set(text(row.id), n1);
    else {
      found.add(hex(row.id), n1, {
        firstMessageIndex: Number(row.n3),
        forwardedCount: Number(row.n4),
        isVerified: Number(row.n5) === 1,
        row: { roomNo: n1, seq: Number(row.n2), bytes: Number(row.n6) },
      });
    }
  }
  return (
    backup && {
      isConfirmed: connection.readsAreConfirmed,
      isCurrent: Number(backup.n5) === 1,
      state: { count: Number(backup.n3), etag: String(Number(backup.n2)) },
      ranks: Array.from(hashes, ([key, hash]) => found.get(hash, key)),
      hashes,
      roomNumbers: found.roomNumbers,
      rowVersion: {
        keySetId: Number(backup.n1),
        etag: Number(backup.n2),
        changedAt: Number(backup.n4),
      },
    }
  );
}

/**
 * 1 statement per 500 keys: the ranks of those that are stored, in the order of `keys`, and the numbers of their
 * rooms, as far as they have one.
 *
 * @param hashes of the keys, in their order
 */
export async function findRanks(
  connection: Connection,
  { dialect, tables }: Storage,
  keySetId: number,
  keys: readonly KeyId[],
  hashes: readonly string[],
): Promise<{
  ranks: readonly (StoredRank | undefined)[];
  roomNumbers: ReadonlyMap<string, number>;
}> {
  const found = new FoundKeys<StoredRank>();
  const hashed = keys.map((key, n) => ({ key, hash: hashes[n] ?? '' }));
  for (const some of chunks(hashed, dialect.rowsPerStatement)) {
    const roomIds = [...new Set(some.map(({ key }) => key.roomId))];
    const values = dialect.values();
    const lock = asOfNow(connection, dialect);
    // each half has its own lock
    const half = (sql: string) => (lock === '' ? sql : `(${sql}${lock})`);
    const stored = await connection.rows(
      [
        `SELECT id_hash AS id, room_no, seq, first_message_index, forwarded_count, is_verified,
           OCTET_LENGTH(session_data) AS bytes
         FROM ${tables.keys} WHERE key_set_id = ${values.integer(keySetId)}
           AND id_hash IN (${some.map(({ hash }) => values.hex(hash)).join()})`,
        `SELECT room_id, room_no, NULL, NULL, NULL, NULL, NULL
         FROM ${tables.rooms} WHERE key_set_id = ${values.integer(keySetId)}
           AND room_id IN (${roomIds.map((roomId) => values.bytesOf(roomId)).join()})`,
      ]
        .map(half)
        .join(' UNION ALL '),
      values.parameters,
    );
    for (const row of stored) {
      const roomNo = Number(row.room_no);
      if (row.seq === null) found.roomNumbers.set(text(row.id), roomNo);
      else {
        const stands = { roomNo, seq: Number(row.seq), bytes: Number(row.bytes) };
        found.add(hex(row.id), roomNo, { ...asRank(row), row: stands });
      }
    }
  }
  return {
    ranks: hashed.map(({ key, hash }) => found.get(hash, key)),
    roomNumbers: found.roomNumbers,
  };
}
