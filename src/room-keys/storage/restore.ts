import type { KeyId, KeySelection, RoomKey } from '../room-key.js';
import type { Connection, Row } from './database/connection.js';
import type { Database } from './database/database.js';
import type { KeyPosition } from './database/dialect.js';
import { BusyError } from './database/errors.js';
import { ByteRows, type RawRows, type RowShape } from './database/raw-rows.js';
import type { RestoreReader } from './database/restores.js';
import { KeyPage, KeyPages, type PageSource } from './key-pages.js';
import { KeySetPages, type Query, queryOf, readRooms, roomOf } from './key-set-pages.js';
import type { Storage } from './key-rows.js';
import { asKey, bytes, idHash } from './rows.js';

/** Beside the position, `room_no` and `seq`. */
const COLUMNS = 'first_message_index, forwarded_count, is_verified, session_id, session_data';
/** Of a row that has both. */
const SHAPE: RowShape = { integers: 5, others: 2 };

/**
 * Opens the keys of a backup, or those of one room: 4 statements and 1 per page.
 *
 * @returns undefined if the backup does not exist
 */
export async function openKeyPages(
  database: Database,
  userId: string,
  version: number,
  { roomId }: KeySelection,
): Promise<KeyPages | undefined> {
  const reader = await database.restore(userId);
  try {
    const { tables } = database;
    const owner = [bytes(userId), version];
    const [backup] = await reader.rows(
      `SELECT key_set_id, key_count, largest_key, next_seq FROM ${tables.backups} WHERE user_id = ? AND version = ?`,
      owner,
    );
    if (!backup) {
      await reader.close();
      return undefined;
    }
    const keySetId = Number(backup.key_set_id);
    const keys =
      roomId === undefined
        ? await allRooms(database, reader, backup)
        : await oneRoom(database, reader, backup, roomId);
    const source: PageSource = {
      keyCount: keys.count,
      largestKey: Number(backup.largest_key),
      readsElsewhere: database.dialect.worksElsewhere,
      page: async (after, limit) => {
        const page = await keys.page(after, limit);
        if (!reader.hasSnapshot)
          await checkStillThere(reader, tables.backups, [...owner, keySetId]);
        reader.answerBegins();
        return page;
      },
      close: () => reader.close(),
    };
    const pages = new KeyPages(source);
    return reader.blocksOthers ? await pages.buffered() : pages;
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/**
 * 1 statement, no lock.
 *
 * @returns undefined if the backup does not exist, null if the key does not
 */
export async function readKey(
  connection: Connection,
  { tables: { backups, rooms, keys } }: Storage,
  userId: string,
  version: number,
  id: KeyId,
): Promise<RoomKey | null | undefined> {
  const [row] = await connection.rows(
    `SELECT k.session_id, k.first_message_index, k.forwarded_count, k.is_verified, k.session_data
     FROM ${backups} b
     LEFT JOIN ${rooms} r ON r.key_set_id = b.key_set_id AND r.room_id = ?
     LEFT JOIN ${keys} k ON k.key_set_id = b.key_set_id AND k.id_hash = ?
       AND k.room_no = r.room_no AND k.session_id = ?
     WHERE b.user_id = ? AND b.version = ?`,
    [bytes(id.roomId), Buffer.from(idHash(id), 'hex'), bytes(id.sessionId), bytes(userId), version],
  );
  if (!row) return undefined;
  return row.session_id === null ? null : asKey(row, id.roomId);
}

/** What {@link PageSource} reads: keys that were there when the restore began, also after its snapshot is given up. */
interface Keys {
  count: number;
  page(after: KeyPosition, limit: number): Promise<KeyPage>;
}

async function allRooms(database: Database, reader: RestoreReader, backup: Row): Promise<Keys> {
  const keySetId = Number(backup.key_set_id);
  const rooms = await readRooms(queryOf(reader), database, keySetId);
  const query: Query<RawRows> = (sql, parameters) => reader.rawRows(sql, parameters, SHAPE);
  const pages = new KeySetPages(database, keySetId, rooms, COLUMNS);
  return {
    count: Number(backup.key_count),
    page: async (after, limit) => {
      const [rows = new ByteRows(SHAPE), ...more] = await pages.parts(
        query,
        after,
        limit,
        Number(backup.next_seq),
      );
      for (const others of more) rows.append(others);
      return new KeyPage(rows, (roomNo) => roomOf(roomNo, rooms));
    },
  };
}

async function oneRoom(
  { tables }: Database,
  reader: RestoreReader,
  backup: Row,
  roomId: string,
): Promise<Keys> {
  const keySetId = Number(backup.key_set_id);
  const [room] = await reader.rows(
    `SELECT room_no, key_count FROM ${tables.rooms} WHERE key_set_id = ? AND room_id = ?`,
    [keySetId, bytes(roomId)],
  );
  return {
    count: Number(room?.key_count ?? 0),
    page: async ({ seq }, limit) => {
      const rows = await reader.rawRows(
        `SELECT room_no, seq, ${COLUMNS} FROM ${tables.keys}
         WHERE key_set_id = ? AND room_no = ? AND seq > ? AND seq < ? ORDER BY seq LIMIT ${limit}`,
        [keySetId, Number(room?.room_no), seq, Number(backup.next_seq)],
        SHAPE,
      );
      return new KeyPage(rows, () => roomId);
    },
  };
}

/**
 * Without a snapshot, keys that are deleted are missing from the pages after it. When all are, the answer must
 * not look complete: the client gets an error, and tries again.
 */
async function checkStillThere(
  reader: RestoreReader,
  backups: string,
  which: [...(Buffer | number)[]],
): Promise<void> {
  const found = await reader.rows(
    `SELECT 1 FROM ${backups} WHERE user_id = ? AND version = ? AND key_set_id = ?`,
    which,
  );
  if (found.length === 0) throw new BusyError('The keys were deleted while they were read.');
}
