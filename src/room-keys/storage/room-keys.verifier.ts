/** The SQL of a verification: reads every row, and holds it against what the others say. */
import { setImmediate } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import type { RoomKeysFinding, RoomKeysVerificationProgress } from './verification.js';
import type { Row, Snapshot } from './database/connection.js';
import { Database, THE_SERVER } from './database/database.js';
import { timeouts } from './database/timeouts.js';
import { WHOLE_SET } from './kept-deletions.js';
import { KeySetPages, positionOf, type Query, START } from './key-set-pages.js';
import type { Tables } from './tables.js';
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
  sameNumber,
  shown,
  wrongInKey,
} from './verification-rules.js';

const USERS_PER_SNAPSHOT = 100;
/** A snapshot that is kept for long keeps the database from clearing old rows away. */
const KEYS_PER_SNAPSHOT = 50_000;
const ROWS_PER_PAGE = 1000;
/** Memory that one page of keys may take. */
const BYTES_PER_PAGE = 4 * 1024 * 1024;

/**
 * Reads all users, backups and keys, and writes nothing. What belongs to one user is read as of one
 * moment, so that uploads that go on meanwhile are no findings.
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

  /** Everything, or what is stored of one user. */
  async *findings(userId: string | undefined): AsyncGenerator<RoomKeysFinding> {
    const only = userId === undefined ? undefined : Buffer.from(userId);
    await this.countKeys(only);
    if (only) {
      yield* this.inSnapshot((snapshot) => this.oneUser(snapshot, only));
      return;
    }
    yield* this.inSnapshot((snapshot) => this.orphanedRows(snapshot));
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
    const [row] = await this.database.read(
      THE_SERVER,
      (connection) =>
        connection.rows(
          `SELECT SUM(key_count) AS count FROM ${this.tables.backups}${only ? ' WHERE user_id = ?' : ''}`,
          only ? [only] : [],
        ),
      timeouts.operatorMs,
    );
    this.progress.keysInAll = Number(row?.count ?? 0);
    this.tellProgress();
  }

  /**
   * 7 statements, each of which goes once through the index of a table: rows that are not reached from any
   * user. NOT IN, since each of the databases makes a table in memory of it once.
   */
  private async *orphanedRows(snapshot: Snapshot): AsyncGenerator<RoomKeysFinding> {
    const { users, backups, keySets, rooms, retiredRooms, keys, deleted } = this.tables;
    const ownerless = await snapshot.rows(
      `SELECT b.user_id, b.version FROM ${backups} b LEFT JOIN ${users} u ON u.user_id = b.user_id
       WHERE u.user_id IS NULL`,
      [],
    );
    for (const row of ownerless) {
      yield finding('backup-without-user', 'The backup belongs to a user who has no row.', {
        userId: shown(row.user_id),
        version: String(Number(row.version)),
      });
    }
    const shared = await snapshot.rows(
      `SELECT key_set_id, COUNT(*) AS count FROM ${backups} GROUP BY key_set_id HAVING COUNT(*) > 1`,
      [],
    );
    for (const row of shared) {
      yield finding('key-set-shared', `${Number(row.count)} backups have the same key set.`, {
        keySetId: Number(row.key_set_id),
      });
    }
    const forgotten = await snapshot.rows(
      `SELECT key_set_id FROM ${keySets}
       WHERE retired_at IS NULL AND key_set_id NOT IN (SELECT key_set_id FROM ${backups})`,
      [],
    );
    for (const row of forgotten) {
      const keySetId = Number(row.key_set_id);
      const count = await this.countRows(snapshot, keys, keySetId);
      yield finding(
        'key-set-without-backup',
        `The key set belongs to no backup and does not wait to be swept; ${plural(count, 'key')} in it would stay for ever.`,
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
      [],
    );
    for (const row of orphaned) {
      yield finding(
        'deleted-keys',
        row.owner === null
          ? 'A deletion is remembered of a user who has no row.'
          : 'A deletion is remembered whose keys do not wait to be removed.',
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
        [],
      );
      for (const row of unknown) {
        const keySetId = Number(row.key_set_id);
        const count = await this.countRows(snapshot, table, keySetId);
        yield finding(code, `${plural(count, what)} of a key set that does not exist.`, {
          keySetId,
        });
      }
    }
  }

  private async countRows(snapshot: Snapshot, table: string, keySetId: number): Promise<number> {
    const [row] = await snapshot.rows(
      `SELECT COUNT(*) AS count FROM ${table} WHERE key_set_id = ?`,
      [keySetId],
    );
    return Number(row?.count);
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
    const backups = await this.backupsOf(snapshot, userId);
    for (const row of backups) {
      yield finding('backup-without-user', 'The backup belongs to a user who has no row.', {
        userId: shown(row.user_id),
        version: String(Number(row.version)),
      });
    }
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
    const newest = backups.at(-1)?.version ?? null;
    if (!sameNumber(user.current_version, newest)) {
      yield finding(
        'current-version',
        `The current version is ${asText(user.current_version)}, and it must be ${asText(newest)}.`,
        place,
      );
    }
    const least = newest === null ? 1 : Number(newest);
    if (!(Number.isSafeInteger(Number(user.last_version)) && Number(user.last_version) >= least)) {
      yield finding(
        'last-version',
        `The last version that was given is ${asText(user.last_version)}, and it must be at least ${least}.`,
        place,
      );
    }
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
    const facts = await this.factsOf(snapshot, keySetId);
    yield* countsOf(row, facts, place);
    const rooms = new Map<number, Row>();
    for (const room of await snapshot.rows(
      `SELECT room_no, room_id, key_count, byte_count FROM ${this.tables.rooms} WHERE key_set_id = ?`,
      [keySetId],
    )) {
      const roomNo = Number(room.room_no);
      const where = { ...place, keySetId, roomId: shown(room.room_id) };
      if (isBadId(room.room_id)) yield badId('room id', room.room_id, where);
      if (rooms.has(roomNo)) {
        yield finding(
          'room-number',
          `Another room of the key set has the number ${roomNo} too.`,
          where,
        );
      }
      if (roomNo >= Number(row.next_seq)) {
        yield finding(
          'next-seq',
          `The room has the number ${roomNo}, and the next number is ${asText(row.next_seq)}.`,
          where,
        );
      }
      rooms.set(roomNo, room);
    }
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

  private async factsOf(snapshot: Snapshot, keySetId: number): Promise<KeyFacts> {
    const [row] = await snapshot.rows(
      `SELECT COUNT(*) AS count, SUM(OCTET_LENGTH(session_data)) AS bytes,
         MAX(OCTET_LENGTH(session_data)) AS largest, MAX(seq) AS seq
       FROM ${this.tables.keys} WHERE key_set_id = ?
         AND room_no NOT IN (SELECT room_no FROM ${this.tables.retiredRooms} WHERE key_set_id = ?)`,
      [keySetId, keySetId],
    );
    return {
      count: Number(row?.count),
      bytes: Number(row?.bytes ?? 0),
      largest: Number(row?.largest ?? 0),
      highestSeq: Number(row?.seq ?? -1),
    };
  }

  private async *keys(
    snapshot: Snapshot,
    keySetId: number,
    { largest }: KeyFacts,
    rooms: { ids: ReadonlyMap<number, Row>; retired: readonly number[] },
    sums: Map<number, RoomSum>,
    place: Location,
  ): AsyncGenerator<RoomKeysFinding> {
    const limit = Math.max(
      1,
      Math.min(ROWS_PER_PAGE, Math.floor(BYTES_PER_PAGE / Math.max(1, largest))),
    );
    const query: Query = (sql, parameters) => snapshot.rows(sql, parameters);
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
