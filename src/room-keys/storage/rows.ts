/** What statements are given, and what is made of the rows that they answer with. */
import type { QueryRunner } from 'typeorm';
import type { KeyRank, RoomKey } from '../room-key.js';
import type { DatabaseFamily } from './database-family.js';
import type { KeyPosition } from './key-pages.js';

/** Rows per statement: bounds the size of a statement, and the ranges its optimizer has to plan. */
const ROWS_PER_STATEMENT = 500;
/** SQLite has no round trips to save, and keeps prepared statements by their text. */
const ROWS_PER_STATEMENT_SQLITE = 100;

export type Row = Record<string, unknown>;

export const bytes = (text: string) => Buffer.from(text, 'utf8');
export const text = (value: unknown) => (value as Buffer).toString('utf8');
export const hex = (value: unknown) => (value as Buffer).toString('hex');

export async function rows(
  runner: QueryRunner,
  sql: string,
  parameters: unknown[],
): Promise<Row[]> {
  return (await runner.query(sql, parameters)) as Row[];
}

export const placeholders = (count: number) => Array(count).fill('?').join(', ');

export const rowsPerStatement = (family: DatabaseFamily) =>
  family === 'mysql' ? ROWS_PER_STATEMENT : ROWS_PER_STATEMENT_SQLITE;

export function* chunks<T>(all: readonly T[], size: number): Generator<T[]> {
  for (let start = 0; start < all.length; start += size) yield all.slice(start, start + size);
}

export const numberOrUndefined = (value: unknown) =>
  value === null || value === undefined ? undefined : Number(value);

export const asRank = (row: Row): KeyRank => ({
  isVerified: Number(row.is_verified) === 1,
  firstMessageIndex: Number(row.first_message_index),
  forwardedCount: Number(row.forwarded_count),
});

export const asKey = (row: Row, roomId: string): RoomKey => ({
  roomId,
  sessionId: text(row.session_id),
  ...asRank(row),
  sessionData: row.session_data as string,
});

/** The id of a key's room, by the rooms of its key set. A key without one is no answer: it was torn out of its moment, or damaged. */
export function roomOf({ room_no }: Row, roomIds: ReadonlyMap<number, string>): string {
  const roomId = roomIds.get(Number(room_no));
  if (roomId === undefined) {
    throw new Error('A key is in a room that its backup does not have: a verification tells more.');
  }
  return roomId;
}

/** What comes after a position, in the form that each optimizer reads as one range of the primary key. */
export function laterThan(
  family: DatabaseFamily,
  { roomNo, seq }: KeyPosition,
): [where: string, parameters: number[]] {
  return family === 'mysql'
    ? ['(room_no = ? AND seq > ? OR room_no > ?)', [roomNo, seq, roomNo]]
    : ['(room_no, seq) > (?, ?)', [roomNo, seq]];
}

/**
 * Comes after the table that a page is read from. For some seconds after many rows were added, MySQL
 * counts few, and would rather sort all of them for each page: 65 ms a page in place of 2, at 50,000 keys.
 */
export const inOrder = (family: DatabaseFamily) =>
  family === 'mysql' ? ' FORCE INDEX (PRIMARY)' : '';
