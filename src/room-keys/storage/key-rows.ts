/** Writes the rows of keys, of their rooms and of key sets. */
import type { QueryRunner } from 'typeorm';
import type { RoomKey } from '../room-key.js';
import type { DatabaseFamily } from './database-family.js';
import { SqlValues } from './sql-values.js';
import { maxAllowedPacket, SMALL_VALUE, STATEMENT_MARGIN } from './packet-size.js';
import { chunks, rowsPerStatement } from './rows.js';
import type { Tables } from './tables.js';

/** Characters per statement at most, where `max_allowed_packet` does not ask for fewer: see {@link mostCharacters}. */
const CHARACTERS_PER_STATEMENT = 2 * 1024 * 1024;
/** Half of the bytes of a row's numbers, its hash and what stands between its values. */
const CHARACTERS_OF_A_ROW = 80;

/** A key, its hash, the device that wrote it, and where its row goes. */
export interface PlacedKey {
  key: RoomKey;
  deviceId: string | undefined;
  hash: string;
  roomNo: number;
  seq: number;
}

/** 1 statement: makes an empty key set, and returns its number. */
export async function insertKeySet(
  runner: QueryRunner,
  { keySets }: Tables,
  retiredAt: number | null,
): Promise<number> {
  const result: unknown = await runner.query(`INSERT INTO ${keySets} (retired_at) VALUES (?)`, [
    retiredAt,
  ]);
  // the driver's own: SQLite answers with the row id, MySQL with a packet that holds it
  return Number(
    typeof result === 'object' && result !== null && 'insertId' in result
      ? result.insertId
      : result,
  );
}

/**
 * 1 statement where there is such a backup, none on SQLite: takes a step in the backup whose place as
 * the current one another takes. An upload to it that is under way on another node of a cluster, where
 * the user's lock is not heard of, writes the same row, and so is begun again, and refused.
 *
 * @param version of the backup that was the current one
 */
export async function supersede(
  runner: QueryRunner,
  family: DatabaseFamily,
  { backups }: Tables,
  user: Buffer,
  version: number | undefined,
): Promise<void> {
  if (family === 'sqlite' || version === undefined) return;
  // no key takes the number that is left out
  await runner.query(
    `UPDATE ${backups} SET next_seq = next_seq + 1 WHERE user_id = ? AND version = ?`,
    [user, version],
  );
}

/** 1 statement per 500 rooms. */
export async function insertRooms(
  runner: QueryRunner,
  family: DatabaseFamily,
  { rooms }: Tables,
  keySetId: number,
  numbered: readonly [roomId: string, roomNo: number][],
): Promise<void> {
  for (const some of chunks(numbered, rowsPerStatement(family))) {
    const values = new SqlValues(family);
    const row = ([roomId, roomNo]: [string, number]) =>
      `(${values.integer(keySetId)}, ${values.bytesOf(roomId)}, ${values.integer(roomNo)})`;
    await runner.query(
      `INSERT INTO ${rooms} (key_set_id, room_id, room_no) VALUES ${some.map(row).join()}`,
      values.parameters,
    );
  }
}

/** 1 statement per 500 keys, more where they are large, which the first time take 1 that asks how large it may be. */
export async function insertKeys(
  runner: QueryRunner,
  family: DatabaseFamily,
  tables: Tables,
  keySetId: number,
  keys: readonly PlacedKey[],
  onDuplicate = '',
): Promise<void> {
  const most = await mostCharacters(runner, keys);
  for (const some of inStatements(keys, rowsPerStatement(family), most)) {
    const values = new SqlValues(family);
    const row = ({ key, deviceId, hash, roomNo, seq }: PlacedKey) =>
      `(${values.integer(keySetId)}, ${values.integer(roomNo)}, ${values.integer(seq)}, ` +
      `${values.hex(hash)}, ${values.bytesOf(key.sessionId)}, ` +
      `${values.integer(key.firstMessageIndex)}, ${values.integer(key.forwardedCount)}, ` +
      `${values.integer(key.isVerified ? 1 : 0)}, ${deviceId === undefined ? 'NULL' : values.bytesOf(deviceId)}, ` +
      `${values.text(key.sessionData)})`;
    await runner.query(
      `INSERT INTO ${tables.keys} (key_set_id, room_no, seq, id_hash, session_id,
         first_message_index, forwarded_count, is_verified, device_id, session_data)
       VALUES ${some.map(row).join()} ${onDuplicate}`,
      values.parameters,
    );
  }
}

/** Characters per statement, such that it fits into `max_allowed_packet` with each of them as two bytes. */
async function mostCharacters(runner: QueryRunner, keys: readonly PlacedKey[]): Promise<number> {
  const all = keys.reduce((sum, placed) => sum + charactersOf(placed), 0);
  if (all <= SMALL_VALUE) return SMALL_VALUE;
  const mostBytes = await maxAllowedPacket(runner);
  return Math.min(CHARACTERS_PER_STATEMENT, (mostBytes - STATEMENT_MARGIN) / 2);
}

/** As two bytes each: a character that is escaped. One of an id is at most three bytes, in hexadecimal digits six. */
const charactersOf = ({ key: { sessionData, sessionId }, deviceId = '' }: PlacedKey) =>
  CHARACTERS_OF_A_ROW + sessionData.length + 3 * (sessionId.length + deviceId.length);

/** @param mostRows how many rows a statement may have; one it has in any case */
function inStatements(
  keys: readonly PlacedKey[],
  mostRows: number,
  mostCharacters: number,
): PlacedKey[][] {
  const statements: PlacedKey[][] = [];
  let characters = Infinity;
  for (const placed of keys) {
    const length = charactersOf(placed);
    characters += length;
    const last = statements.at(-1);
    if (last && last.length < mostRows && characters <= mostCharacters) {
      last.push(placed);
    } else {
      statements.push([placed]);
      characters = length;
    }
  }
  return statements;
}

/** Ends an INSERT into the table of keys that puts them in the place of stored ones. */
export const replaceRow: Record<DatabaseFamily, string> = {
  // MySQL 8.0.20 and newer call VALUES() deprecated, MariaDB knows nothing else
  mysql: `ON DUPLICATE KEY UPDATE ${replacedColumns((column) => `VALUES(${column})`)}`,
  sqlite: `ON CONFLICT (key_set_id, room_no, seq) DO UPDATE SET ${replacedColumns((column) => `excluded.${column}`)}`,
};

function replacedColumns(value: (column: string) => string): string {
  return ['first_message_index', 'forwarded_count', 'is_verified', 'device_id', 'session_data']
    .map((column) => `${column} = ${value(column)}`)
    .join(', ');
}
