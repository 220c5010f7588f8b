import type { KeySelection, RoomKey } from '../room-key.js';
import type { Row } from './database/connection.js';
import type { Database } from './database/database.js';
import type { KeyPosition } from './database/dialect.js';
import { BusyError } from './database/errors.js';
import type { RestoreReader } from './database/restores.js';
import { KeyPages, type PageSource } from './key-pages.js';
import { KeySetPages, positionOf, type Query, readRooms, roomOf } from './key-set-pages.js';
import { asKey, bytes } from './rows.js';

const COLUMNS = 'session_id, first_message_index, forwarded_count, is_verified, session_data';

/**
 * Opens the keys of a backup, or those of one room: 4 statements and 1 per page.
 *
 * @returns undefined where there is no such backup
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
    const query: Query = (sql, parameters) => reader.rows(sql, parameters);
    const keys =
      roomId === undefined
        ? await allRooms(database, query, backup)
        : await oneRoom(database, query, backup, roomId);
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

/** What {@link PageSource} reads: keys that were there when the restore began, also after its snapshot is given up. */
interface Keys {
  count: number;
  page(after: KeyPosition, limit: number): Promise<{ position: KeyPosition; key: RoomKey }[]>;
}

async function allRooms(database: Database, query: Query, backup: Row): Promise<Keys> {
  const keySetId = Number(backup.key_set_id);
  const rooms = await readRooms(query, database, keySetId);
  const pages = new KeySetPages(database, keySetId, rooms, COLUMNS);
  return {
    count: Number(backup.key_count),
    page: async (after, limit) =>
      (await pages.page(query, after, limit, Number(backup.next_seq))).map((row) => ({
        position: positionOf(row),
        key: asKey(row, roomOf(row, rooms)),
      })),
  };
}

async function oneRoom(
  { tables }: Database,
  query: Query,
  backup: Row,
  roomId: string,
): Promise<Keys> {
  const keySetId = Number(backup.key_set_id);
  const [room] = await query(
    `SELECT room_no, key_count FROM ${tables.rooms} WHERE key_set_id = ? AND room_id = ?`,
    [keySetId, bytes(roomId)],
  );
  return {
    count: Number(room?.key_count ?? 0),
    page: async ({ seq }, limit) => {
      const rows = await query(
        `SELECT room_no, seq, ${COLUMNS} FROM ${tables.keys}
         WHERE key_set_id = ? AND room_no = ? AND seq > ? AND seq < ? ORDER BY seq LIMIT ${limit}`,
        [keySetId, Number(room?.room_no), seq, Number(backup.next_seq)],
      );
      return rows.map((row) => ({ position: positionOf(row), key: asKey(row, roomId) }));
    },
  };
}

/**
 * Without a snapshot, keys that are deleted are missing from the pages after it. When all are, the answer must
 * not look whole: the client hears of it, and asks again.
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
