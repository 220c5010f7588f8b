/** Writes the rows of keys, of their rooms and of key sets. */
import type { RoomKey } from '../room-key.js';
import type { Connection, SqlValue } from './database/connection.js';
import type { Dialect, Tables, TableUpdate } from './database/dialect.js';
import { chunks } from './rows.js';

/** Characters per statement at most, unless a connection allows fewer. */
const CHARACTERS_PER_STATEMENT = 1024 * 1024;
/** Half of the bytes of a row's numbers, its hash and what stands between its values. */
const CHARACTERS_OF_A_ROW = 80;

/** What a statement needs to know of the database. */
export interface Storage {
  dialect: Dialect;
  tables: Tables;
}

/** A key, its hash, the device that wrote it, and where its row goes. */
export interface PlacedKey {
  key: RoomKey;
  deviceId: string | undefined;
  hash: string;
  roomNo: number;
  seq: number;
}

/** What changes in the row of a room. */
export interface RoomChange {
  roomNo: number;
  isNew: boolean;
  /** Keys and bytes of `session_data` that are added; below 0 where some are removed. */
  keys: number;
  bytes: number;
}

/**
 * 1 statement: makes an empty key set, and returns its number.
 *
 * @param retiredAt SQL: when it will be removed
 */
export async function insertKeySet(
  connection: Connection,
  { dialect, tables }: Storage,
  retiredAt: string | null,
): Promise<number> {
  const { insertId } = await connection.execute(
    `INSERT INTO ${tables.keySets} (retired_at) VALUES (${retiredAt ?? 'NULL'})${dialect.returning('key_set_id')}`,
  );
  return insertId;
}

/**
 * 1 statement per 500 new rooms. A plain INSERT, which fails where the room has got another number meanwhile.
 *
 * @returns updates of the other rooms whose count or bytes change, up to 500 in each
 */
export async function insertRooms(
  connection: Connection,
  { dialect, tables }: Storage,
  keySetId: number,
  changes: ReadonlyMap<string, RoomChange>,
): Promise<TableUpdate[]> {
  const all = [...changes];
  const added = all.filter(([, { isNew }]) => isNew);
  const changed = all.filter(([, { isNew, keys, bytes }]) => !isNew && (keys !== 0 || bytes !== 0));
  for (const some of chunks(added, dialect.rowsPerStatement)) {
    const values = dialect.values();
    const row = ([roomId, { roomNo, keys, bytes }]: [string, RoomChange]) =>
      `(${values.integer(keySetId)}, ${values.bytesOf(roomId)}, ${values.integer(roomNo)}, ` +
      `${values.integer(keys)}, ${values.integer(bytes)})`;
    await connection.defer(
      `INSERT INTO ${tables.rooms} (key_set_id, room_id, room_no, key_count, byte_count)
       VALUES ${some.map(row).join()}`,
      values.parameters,
    );
  }
  return [...chunks(changed, dialect.rowsPerStatement)].map((some) => {
    const values = dialect.values();
    // ELSE 0: without strict mode, MySQL would store the NULL of a room that has another number as 0
    const added = (column: string, by: (change: RoomChange) => number) =>
      `r.${column} + CASE r.room_no ${some.map(([, change]) => `WHEN ${change.roomNo} THEN ${by(change)}`).join(' ')} ELSE 0 END`;
    return {
      table: tables.rooms,
      alias: 'r',
      set: {
        key_count: added('key_count', ({ keys }) => keys),
        byte_count: added('byte_count', ({ bytes }) => bytes),
      },
      where: `r.key_set_id = ${values.integer(keySetId)} AND r.room_id IN (${some.map(([roomId]) => values.bytesOf(roomId)).join()})`,
      parameters: values.parameters,
    };
  });
}

/**
 * 1 statement per 500 keys, more where they are large.
 *
 * @param onDuplicate ends the INSERT; without it, no key is ever overwritten
 */
export async function insertKeys(
  connection: Connection,
  { dialect, tables }: Storage,
  keySetId: number,
  keys: readonly PlacedKey[],
  onDuplicate = '',
): Promise<void> {
  const { perStatement } = connection.textLimits;
  for (const some of inStatements(keys, dialect.rowsPerStatement, perStatement)) {
    const values = dialect.values();
    const row = ({ key, deviceId, hash, roomNo, seq }: PlacedKey) =>
      `(${values.integer(keySetId)}, ${values.integer(roomNo)}, ${values.integer(seq)}, ` +
      `${values.hex(hash)}, ${values.bytesOf(key.sessionId)}, ` +
      `${values.integer(key.firstMessageIndex)}, ${values.integer(key.forwardedCount)}, ` +
      `${values.integer(key.isVerified ? 1 : 0)}, ${deviceId === undefined ? 'NULL' : values.bytesOf(deviceId)}, ` +
      `${values.ascii(key.sessionData.slice(0, perStatement))})`;
    let rows = '';
    // join() would copy the text of all rows once more than the driver does
    for (const placed of some) rows += (rows === '' ? '' : ',') + row(placed);
    await connection.defer(
      `INSERT INTO ${tables.keys} (key_set_id, room_no, seq, id_hash, session_id,
         first_message_index, forwarded_count, is_verified, device_id, session_data)
       VALUES ${rows} ${onDuplicate}`,
      values.parameters,
    );
    for (const { key, roomNo, seq } of some) {
      await appendRest(connection, key.sessionData, {
        table: tables.keys,
        column: 'session_data',
        where: 'key_set_id = ? AND room_no = ? AND seq = ?',
        parameters: [keySetId, roomNo, seq],
      });
    }
  }
}

/** Ends an INSERT of keys that replace stored ones. */
export const replaceKeys = (dialect: Dialect): string =>
  `${dialect.onConflict('key_set_id, room_no, seq')} ` +
  ['first_message_index', 'forwarded_count', 'is_verified', 'device_id', 'session_data']
    .map((column) => `${column} = ${dialect.inserted(column)}`)
    .join(', ');

/**
 * None for a text that fits into one statement, else 1 for each further piece of it: appends to a row what of a
 * text in ASCII did not fit into the statement that wrote the row. A literal takes up to twice the length of its
 * text, and its making time, for which nothing else is served.
 */
export async function appendRest(
  connection: Connection,
  text: string,
  cell: { table: string; column: string; where: string; parameters: readonly SqlValue[] },
): Promise<void> {
  const { perStatement } = connection.textLimits;
  for (let start = perStatement; start < text.length; start += perStatement) {
    await connection.defer(
      `UPDATE ${cell.table} SET ${cell.column} = CONCAT(${cell.column}, ?) WHERE ${cell.where}`,
      [text.slice(start, start + perStatement), ...cell.parameters],
    );
  }
}

/** As two bytes each, as their literals may be. One of an id is at most three bytes, in hexadecimal digits six. */
const charactersOf = ({ key: { sessionData, sessionId }, deviceId = '' }: PlacedKey) =>
  CHARACTERS_OF_A_ROW + sessionData.length + 3 * (sessionId.length + deviceId.length);

/** @param mostRows how many rows a statement may have; one it has in any case */
function inStatements(
  keys: readonly PlacedKey[],
  mostRows: number,
  mostCharacters: number,
): PlacedKey[][] {
  const most = Math.min(CHARACTERS_PER_STATEMENT, mostCharacters);
  const statements: PlacedKey[][] = [];
  let characters = Infinity;
  for (const placed of keys) {
    const length = charactersOf(placed);
    characters += length;
    const last = statements.at(-1);
    if (last && last.length < mostRows && characters <= most) {
      last.push(placed);
    } else {
      statements.push([placed]);
      characters = length;
    }
  }
  return statements;
}
