/** The SQL of a verification: reads every row, and holds it against what the others say. */
import { setImmediate } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import type { RoomKeysFinding, RoomKeysVerificationProgress } from './verification.js';
import type { Row, Snapshot } from './database/connection.js';
import { Database, THE_SERVER } from './database/database.js';
import { timeouts } from './database/timeouts.js';
import { KeySetPages, positionOf, queryOf, rowsPerPage, START } from './key-set-pages.js';
import { factsOf, orphanedRows } from './orphaned-rows.js';
import type { Tables } from './database/dialect.js';
import {
  asText,
  badId,
  countsOf,
  fieldsOf,
  finding,
  isBadId,
  type KeyFacts,
  type Location,
  plural,
  roomsByNumber,
  shown,
  versionsOf,
  withoutUser,
  wrongInKey,
} from './verification-rules.js';

const USERS_PER_SNAPSHOT = 100;
/** A snapshot that is kept for long keeps the database from clearing old rows away. */
const KEYS_PER_SNAPSHOT = 50_000;
const ROWS_PER_PAGE = 1000;
/** Memory that one page of keys may take. */
const BYTES_PER_PAGE = 4 * 1024 * 1024;

/**
 * Reads all users, backups and keys, and writes nothing. What belongs to one user is read from one consistent
 * snapshot, so that concurrent uploads are not reported.
 */
export class RoomKeysVerifier {
  private readonly database: Database;
  private readonly tables: Tables;
  private readonly progress: RoomKeysVerificationProgress = {
    users: 0,
    backups: 0,
    keys: 0,
    keysInAll: 0,
  };

  constructor(
    dataSource: DataSource,
    private readonly onProgress: (progress: RoomKeysVerificationProgress) => void,
  ) {
    this.database = Database.of(dataSource);
    this.tables = this.database.tables;
  }

  /** Everything, or the data of one user. */
  async *findings(userId: string | undefined): AsyncGenerator<RoomKeysFinding> {
    const only = userId === undefined ? undefined : Buffer.from(userId);
    await this.countKeys(only);
    if (only) {
      yield* this.inSnapshot((snapshot) => this.oneUser(snapshot, only));
      return;
    }
    yield* this.inSnapshot((snapshot) => orphanedRows(snapshot, this.tables));
    let last: Buffer | undefined;
    do last = yield* this.inSnapshot((snapshot) => this.someUsers(snapshot, last));
    while (last);
  }

  private async *inSnapshot<R>(
    work: (snapshot: Snapshot) => AsyncGenerator<RoomKeysFinding, R>,
  ): AsyncGenerator<RoomKeysFinding, R> {
    const snapshot = await this.database.snapshot(timeouts.operatorMs);
    try {
      return yield* work(snapshot);
    } finally {
      await snapshot.close();
    }
  }

  private async countKeys(only: Buffer | undefined): Promise<void> {
    const [row] = await this.database.rows(
      THE_SERVER,
      `SELECT SUM(key_count) AS count FROM ${this.tables.backups}${only ? ' WHERE user_id = ?' : ''}`,
      only ? [only] : [],
      timeouts.operatorMs,
    );
    this.progress.keysInAll = Number(row?.count ?? 0);
    this.tellProgress();
  }

  /** The users after one, as many as one snapshot is for; returns the last of them, undefined after the last of all. */
  private async *someUsers(
    snapshot: Snapshot,
    after: Buffer | undefined,
  ): AsyncGenerator<RoomKeysFinding, Buffer | undefined> {
    const found = await snapshot.rows(
      `SELECT user_id, last_version, current_version FROM ${this.tables.users}
       ${after ? 'WHERE user_id > ?' : ''} ORDER BY user_id LIMIT ${USERS_PER_SNAPSHOT}`,
      after ? [after] : [],
    );
    const keysBefore = this.progress.keys;
    for (const user of found) {
      yield* this.user(snapshot, user);
      if (this.progress.keys - keysBefore > KEYS_PER_SNAPSHOT) return user.user_id as Buffer;
    }
    return found.length < USERS_PER_SNAPSHOT ? undefined : (found.at(-1)?.user_id as Buffer);
  }

  private async *oneUser(snapshot: Snapshot, userId: Buffer): AsyncGenerator<RoomKeysFinding> {
    const [user] = await snapshot.rows(
      `SELECT user_id, last_version, current_version FROM ${this.tables.users} WHERE user_id = ?`,
      [userId],
    );
    if (user) {
      yield* this.user(snapshot, user);
      return;
    }
    for (const row of await this.backupsOf(snapshot, userId)) yield withoutUser(row);
  }

  private backupsOf(snapshot: Snapshot, userId: Buffer): Promise<Row[]> {
    return snapshot.rows(
      `SELECT b.*, s.key_set_id AS known_set, s.retired_at
       FROM ${this.tables.backups} b LEFT JOIN ${this.tables.keySets} s ON s.key_set_id = b.key_set_id
       WHERE b.user_id = ? ORDER BY b.version`,
      [userId],
    );
  }

  private async *user(snapshot: Snapshot, user: Row): AsyncGenerator<RoomKeysFinding> {
    const place: Location = { userId: shown(user.user_id) };
    if (isBadId(user.user_id)) yield badId('user id', user.user_id, place);
    const backups = await this.backupsOf(snapshot, user.user_id as Buffer);
    yield* versionsOf(user, backups.at(-1)?.version ?? null, place);
    for (const backup of backups) {
      yield* this.backup(snapshot, backup, {
        ...place,
        version: String(Number(backup.version)),
      });
    }
    this.progress.users += 1;
    this.tellProgress();
  }

  private async *backup(
    snapshot: Snapshot,
    row: Row,
    place: Location,
  ): AsyncGenerator<RoomKeysFinding> {
    const keySetId = Number(row.key_set_id);
    yield* fieldsOf(row, { ...place, keySetId });
    const facts = await factsOf(snapshot, this.tables, keySetId);
    yield* countsOf(row, facts, place);
    const found = await snapshot.rows(
      `SELECT room_no, room_id, key_count, byte_count FROM ${this.tables.rooms} WHERE key_set_id = ?`,
      [keySetId],
    );
    const rooms = yield* roomsByNumber(found, row.next_seq, { ...place, keySetId });
    const retired: number[] = [];
    for (const { room_no: number } of await snapshot.rows(
      `SELECT room_no FROM ${this.tables.retiredRooms} WHERE key_set_id = ? ORDER BY room_no`,
      [keySetId],
    )) {
      const room = rooms.get(Number(number));
      retired.push(Number(number));
      if (!room) continue;
      yield finding(
        'room-retired',
        'The number of the room waits to be removed: its keys are going to be removed.',
        { ...place, keySetId, roomId: shown(room.room_id) },
      );
    }
    const sums = new Map<number, RoomSum>();
    yield* this.keys(snapshot, keySetId, facts, { ids: rooms, retired }, sums, place);
    for (const [roomNo, room] of rooms) {
      const { count, bytes } = sums.get(roomNo) ?? { count: 0, bytes: 0 };
      if (Number(room.key_count) === count && Number(room.byte_count) === bytes) continue;
      yield finding(
        'room-count',
        `The room counts ${asText(room.key_count)} keys of ${asText(room.byte_count)} bytes, and ${plural(count, 'key')} stored, of ${bytes} bytes.`,
        { ...place, keySetId, roomId: shown(room.room_id) },
      );
    }
    this.progress.backups += 1;
  }

  private async *keys(
    snapshot: Snapshot,
    keySetId: number,
    { largest }: KeyFacts,
    rooms: { ids: ReadonlyMap<number, Row>; retired: readonly number[] },
    sums: Map<number, RoomSum>,
    place: Location,
  ): AsyncGenerator<RoomKeysFinding> {
    const limit = rowsPerPage(ROWS_PER_PAGE, BYTES_PER_PAGE, largest);
    const query = queryOf(snapshot);
    const pages = new KeySetPages(this.database, keySetId, rooms, KEY_COLUMNS, true);
    for (let after = START, ended = false; !ended;) {
      const page = await pages.page(query, after, limit);
      for (const row of page) {
        const roomNo = Number(row.room_no);
        const room = rooms.ids.get(roomNo)?.room_id as Buffer | undefined;
        const sum = sums.get(roomNo) ?? { count: 0, bytes: 0 };
        sum.count += 1;
        sum.bytes += Buffer.byteLength(row.session_data as string);
        sums.set(roomNo, sum);
        yield* wrongInKey(row, room, {
          ...place,
          roomId: room && shown(room),
          sessionId: shown(row.session_id),
        });
      }
      const last = page.at(-1);
      if (last) after = positionOf(last);
      ended = page.length < limit;
      this.progress.keys += page.length;
      this.tellProgress();
      // SQLite answers at once: without a turn of theirs, signals and timers would wait for the end
      await setImmediate();
    }
  }

  private tellProgress(): void {
    this.onProgress({ ...this.progress });
  }
}

const KEY_COLUMNS =
  'id_hash, session_id, first_message_index, forwarded_count, is_verified, device_id, session_data';

/** Of the keys that are stored in a room. */
interface RoomSum {
  count: number;
  bytes: number;
}
