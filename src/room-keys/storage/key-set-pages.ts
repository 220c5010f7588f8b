/** Reads the rows of a key set's keys in the order in which they lie: room after room, in it by arrival. */
import type { Reader, Row, SqlValue } from './database/connection.js';
import type { KeyPosition } from './database/dialect.js';
import type { Storage } from './key-rows.js';
import { text } from './rows.js';

/** Sends a statement that reads, in a snapshot or outside of one. */
export type Query<Rows = Row[]> = (sql: string, parameters: readonly SqlValue[]) => Promise<Rows>;

/** Reads through a connection, or in a snapshot. */
export const queryOf =
  (reader: Reader): Query =>
  (sql, parameters) =>
    reader.rows(sql, parameters);

/** Rows of a page: as many as fit into so many bytes, and one at least. */
export const rowsPerPage = (most: number, bytes: number, largestKey: number): number =>
  Math.max(1, Math.min(most, Math.floor(bytes / Math.max(1, largestKey))));

/** Comes before every row. */
export const START: KeyPosition = { roomNo: -1, seq: -1 };

/** The rooms of a key set, by their numbers. */
export interface Rooms {
  ids: ReadonlyMap<number, string>;
  /** Numbers of deleted rooms, ascending, whose keys wait to be removed and count no more. */
  retired: readonly number[];
}

/** 1 statement: all rooms of a key set. */
export async function readRooms(
  query: Query,
  { tables }: Storage,
  keySetId: number,
): Promise<Rooms> {
  const rows = await query(
    `SELECT room_no, room_id FROM ${tables.rooms} WHERE key_set_id = ?
     UNION ALL SELECT room_no, NULL FROM ${tables.retiredRooms} WHERE key_set_id = ?`,
    [keySetId, keySetId],
  );
  const ids = new Map<number, string>();
  const retired: number[] = [];
  for (const { room_no: roomNo, room_id: roomId } of rows) {
    if (roomId === null) retired.push(Number(roomNo));
    else ids.set(Number(roomNo), text(roomId));
  }
  return { ids, retired: retired.sort((one, other) => one - other) };
}

/** The id of a key's room. A key without one must not be returned: it is from another state, or damaged. */
export function roomOf(roomNo: number, { ids }: Rooms): string {
  const roomId = ids.get(roomNo);
  if (roomId === undefined) {
    throw new Error('A key is in a room that its backup does not have. Run a verification.');
  }
  return roomId;
}

export const positionOf = (row: Row): KeyPosition => ({
  roomNo: Number(row.room_no),
  seq: Number(row.seq),
});

/** The pages of a key set, past the rooms that are deleted. */
export class KeySetPages {
  /** Numbers of rooms between which there are rooms that are not deleted; both exclusive. */
  private readonly segments: readonly Segment[];

  /**
   * @param columns beside the position
   * @param everywhere also where no room is between two deleted ones, and so no key may be
   */
  constructor(
    private readonly storage: Storage,
    private readonly keySetId: number,
    rooms: Pick<Rooms, 'retired'> & { ids: ReadonlyMap<number, unknown> },
    private readonly columns: string,
    everywhere = false,
  ) {
    const segments = segmentsOf(rooms.retired);
    this.segments =
      everywhere || rooms.retired.length === 0
        ? segments
        : withRooms(
            segments,
            [...rooms.ids.keys()].sort((one, other) => one - other),
          );
  }

  /** As {@link parts}, in one piece. */
  async page(query: Query, position: KeyPosition, limit: number): Promise<Row[]> {
    return (await this.parts(query, position, limit)).flat();
  }

  /**
   * 1 statement, and 1 more for each deleted room on the way.
   *
   * @param belowSeq leaves out what was added from this number on
   * @returns up to `limit` rows after a position, as the statements returned them; fewer are the last ones
   */
  async parts<Rows extends { readonly length: number }>(
    query: Query<Rows>,
    position: KeyPosition,
    limit: number,
    belowSeq?: number,
  ): Promise<Rows[]> {
    const { dialect, tables } = this.storage;
    const found: Rows[] = [];
    let left = limit;
    for (const { after, before } of this.segments) {
      if (before <= position.roomNo) continue;
      const from = position.roomNo > after ? position : { roomNo: after + 1, seq: -1 };
      const [where, parameters] = dialect.after(from);
      const bounds: [condition: string, value: number][] = [];
      if (before !== Infinity) bounds.push(['AND room_no < ?', before]);
      if (belowSeq !== undefined) bounds.push(['AND seq < ?', belowSeq]);
      const rows = await query(
        `SELECT room_no, seq, ${this.columns} FROM ${tables.keys}${dialect.inPrimaryKeyOrder}
         WHERE key_set_id = ? AND ${where} ${bounds.map(([condition]) => condition).join(' ')}
         ORDER BY room_no, seq LIMIT ${left}`,
        [this.keySetId, ...parameters, ...bounds.map(([, value]) => value)],
      );
      found.push(rows);
      left -= rows.length;
      if (left === 0) break;
    }
    return found;
  }
}

interface Segment {
  after: number;
  before: number;
}

const segmentsOf = (retired: readonly number[]): Segment[] =>
  [...retired, Infinity].map((before, n) => ({ after: retired[n - 1] ?? START.roomNo, before }));

/** Those in which there is a room; both are ascending. */
function withRooms(segments: readonly Segment[], numbers: readonly number[]): Segment[] {
  let next = 0;
  return segments.filter(({ before }) => {
    const first = next;
    while ((numbers[next] ?? Infinity) < before) next += 1;
    return next > first;
  });
}
