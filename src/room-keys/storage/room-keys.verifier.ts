/** The SQL of a verification: reads every row, and holds it against what the others say. */
import { isUtf8 } from 'node:buffer';
import { setImmediate } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import type {
  RoomKeysFinding,
  RoomKeysFindingCode,
  RoomKeysVerificationProgress,
} from '../verification.js';
import { patience } from './borrowed-connection.js';
import { type DatabaseFamily, familyOf } from './database-family.js';
import { idHash } from './id-hash.js';
import type { KeyPosition } from './key-pages.js';
import { openSnapshot, type Snapshot } from './snapshot.js';
import { Transactions } from './transactions.js';
import { inOrder, laterThan, type Row } from './rows.js';
import { tableNames, type Tables } from './tables.js';
import { newestWithheld, withheldText, withheldVersions } from './withheld-versions.js';

const USERS_PER_SNAPSHOT = 100;
/** A snapshot that is kept for long keeps the database from clearing old rows away. */
const KEYS_PER_SNAPSHOT = 50_000;
const ROWS_PER_PAGE = 1000;
/** Memory that one page of keys may take. */
const BYTES_PER_PAGE = 4 * 1024 * 1024;
const MAX_ID_BYTES = 255;

/** What a finding is about. */
type Place = Omit<RoomKeysFinding, 'code' | 'message'>;

/** What the keys of a set say of themselves. */
interface KeyFacts {
  count: number;
  bytes: number;
  largest: number;
  highestSeq: number;
}

/**
 * Reads all users, backups and keys, and writes nothing. What belongs to one user is read as of one
 * moment, so that uploads that go on meanwhile are no findings.
 */
export class RoomKeysVerifier {
  private readonly family: DatabaseFamily;
  private readonly tables: Tables;
  private readonly transactions: Transactions;
  private readonly progress: RoomKeysVerificationProgress = {
    users: 0,
    backups: 0,
    keys: 0,
    keysInAll: 0,
  };

  constructor(
    private readonly dataSource: DataSource,
    private readonly onProgress: (progress: RoomKeysVerificationProgress) => void,
  ) {
    this.family = familyOf(dataSource.options.type);
    this.tables = tableNames(dataSource.options.entityPrefix ?? '');
    this.transactions = Transactions.of(dataSource);
  }

  /** Everything, or what is stored of one user. */
  async *findings(userId: string | undefined): AsyncGenerator<RoomKeysFinding> {
    const only = userId === undefined ? undefined : Buffer.from(userId);
    await this.countKeys(only);
    if (only) {
      yield* this.inSnapshot((snapshot) => this.oneUser(snapshot, only));
      return;
    }
    yield* this.inSnapshot((snapshot) => this.strays(snapshot));
    let last: Buffer | undefined;
    do last = yield* this.inSnapshot((snapshot) => this.someUsers(snapshot, last));
    while (last);
  }

  private async *inSnapshot<R>(
    work: (snapshot: Snapshot) => AsyncGenerator<RoomKeysFinding, R>,
  ): AsyncGenerator<RoomKeysFinding, R> {
    const snapshot = await openSnapshot(this.dataSource, this.transactions, 'the verifier', {
      patienceMs: patience.operatorMs,
    });
    try {
      return yield* work(snapshot);
    } finally {
      await snapshot.close();
    }
  }

  private async countKeys(only: Buffer | undefined): Promise<void> {
    const [row] = await this.transactions.single(
      async (runner) =>
        (await runner.query(
          `SELECT SUM(key_count) AS count FROM ${this.tables.backups}${only ? ' WHERE user_id = ?' : ''}`,
          only ? [only] : [],
        )) as Row[],
      patience.operatorMs,
    );
    this.progress.keysInAll = Number(row?.count ?? 0);
    this.tellProgress();
  }

  /**
   * 5 statements, each of which goes once through the index of a table: rows that nobody would get
   * to from a user. NOT IN, since each of the databases makes a table in memory of it once.
   */
  private async *strays(snapshot: Snapshot): AsyncGenerator<RoomKeysFinding> {
    const { users, backups, keySets, rooms, keys } = this.tables;
    const ownerless = await snapshot.query(
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
    const shared = await snapshot.query(
      `SELECT key_set_id, COUNT(*) AS count FROM ${backups} GROUP BY key_set_id HAVING COUNT(*) > 1`,
      [],
    );
    for (const row of shared) {
      yield finding('key-set-shared', `${Number(row.count)} backups have the same key set.`, {
        keySetId: Number(row.key_set_id),
      });
    }
    const forgotten = await snapshot.query(
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
    for (const [code, table, what] of [
      ['keys-without-key-set', keys, 'key'],
      ['rooms-without-key-set', rooms, 'room'],
    ] as const) {
      const unknown = await snapshot.query(
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
    const [row] = await snapshot.query(
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
    const found = await snapshot.query(
      `SELECT user_id, last_version, current_version, withheld_versions FROM ${this.tables.users}
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
    const [user] = await snapshot.query(
      `SELECT user_id, last_version, current_version, withheld_versions FROM ${this.tables.users} WHERE user_id = ?`,
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
    return snapshot.query(
      `SELECT b.*, s.key_set_id AS known_set, s.retired_at
       FROM ${this.tables.backups} b LEFT JOIN ${this.tables.keySets} s ON s.key_set_id = b.key_set_id
       WHERE b.user_id = ? ORDER BY b.version`,
      [userId],
    );
  }

  private async *user(snapshot: Snapshot, user: Row): AsyncGenerator<RoomKeysFinding> {
    const place: Place = { userId: shown(user.user_id) };
    if (isBadId(user.user_id)) yield badId('user id', user.user_id, place);
    const backups = await this.backupsOf(snapshot, user.user_id as Buffer);
    const newest = backups.at(-1)?.version ?? null;
    const withheld = withheldVersions(user.withheld_versions);
    yield* wrongInWithheld(user, withheld, backups, place);
    const current = Number(newest) > newestWithheld(withheld) ? newest : null;
    if (!sameNumber(user.current_version, current)) {
      yield finding(
        'current-version',
        `The current version is ${asText(user.current_version)}, and it must be ${asText(current)}.`,
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
    place: Place,
  ): AsyncGenerator<RoomKeysFinding> {
    const keySetId = Number(row.key_set_id);
    yield* fieldsOf(row, { ...place, keySetId });
    const facts = await this.factsOf(snapshot, keySetId);
    yield* countsOf(row, facts, place);
    const rooms = new Map<number, Buffer>();
    for (const room of await snapshot.query(
      `SELECT room_no, room_id FROM ${this.tables.rooms} WHERE key_set_id = ?`,
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
      rooms.set(roomNo, room.room_id as Buffer);
    }
    yield* this.keys(snapshot, keySetId, facts, rooms, place);
    this.progress.backups += 1;
  }

  private async factsOf(snapshot: Snapshot, keySetId: number): Promise<KeyFacts> {
    const [row] = await snapshot.query(
      `SELECT COUNT(*) AS count, SUM(OCTET_LENGTH(session_data)) AS bytes,
         MAX(OCTET_LENGTH(session_data)) AS largest, MAX(seq) AS seq
       FROM ${this.tables.keys} WHERE key_set_id = ?`,
      [keySetId],
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
    rooms: ReadonlyMap<number, Buffer>,
    place: Place,
  ): AsyncGenerator<RoomKeysFinding> {
    const limit = Math.max(
      1,
      Math.min(ROWS_PER_PAGE, Math.floor(BYTES_PER_PAGE / Math.max(1, largest))),
    );
    for (let after: KeyPosition | undefined = { roomNo: -1, seq: -1 }; after;) {
      const [where, position] = laterThan(this.family, after);
      const page = await snapshot.query(
        `SELECT room_no, seq, id_hash, session_id, first_message_index, forwarded_count,
           is_verified, device_id, session_data
         FROM ${this.tables.keys}${inOrder(this.family)} WHERE key_set_id = ? AND ${where} ORDER BY room_no, seq LIMIT ${limit}`,
        [keySetId, ...position],
      );
      for (const row of page) {
        const room = rooms.get(Number(row.room_no));
        yield* wrongInKey(row, room, {
          ...place,
          roomId: room && shown(room),
          sessionId: shown(row.session_id),
        });
      }
      const last = page.at(-1);
      after =
        last && page.length === limit
          ? { roomNo: Number(last.room_no), seq: Number(last.seq) }
          : undefined;
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

// --- what must hold of a row ----------------------------------------------------------------

function* wrongInWithheld(
  { withheld_versions: stored, last_version: last }: Row,
  withheld: readonly number[],
  backups: readonly Row[],
  place: Place,
): Generator<RoomKeysFinding> {
  const there = new Set(backups.map(({ version }) => Number(version)));
  const isSound =
    withheldText(withheld) === stored &&
    new Set(withheld).size === withheld.length &&
    withheld.every((version) => version >= 1 && version <= Number(last) && !there.has(version));
  if (isSound) return;
  yield finding(
    'withheld-versions',
    `The versions that were not taken are ${asText(stored)}: they must be ascending, given to the user, and without a backup.`,
    place,
  );
}

function* fieldsOf(row: Row, place: Place): Generator<RoomKeysFinding> {
  if (row.known_set === null) {
    yield finding(
      'backup-without-key-set',
      'The backup names a key set that does not exist.',
      place,
    );
  } else if (row.retired_at !== null) {
    yield finding(
      'key-set-retired',
      "The backup's key set waits to be swept: its keys are going to be removed.",
      place,
    );
  }
  if (isBadId(row.algorithm)) {
    yield finding('algorithm', 'The algorithm is not 1 to 255 bytes of UTF-8.', place);
  }
  const fault = faultOfJson(row.auth_data);
  if (fault) yield finding('auth-data', `auth_data ${fault}.`, place);
  if (!isWhole(row.etag)) {
    yield finding(
      'etag',
      `The etag is ${asText(row.etag)}, which is no whole number from 0.`,
      place,
    );
  }
  if (!(Number(row.created_at) >= 0 && Number(row.changed_at) >= Number(row.created_at))) {
    yield finding('time', 'The backup changed before it was created.', place);
  }
}

function* countsOf(row: Row, facts: KeyFacts, place: Place): Generator<RoomKeysFinding> {
  if (Number(row.key_count) !== facts.count) {
    yield finding(
      'key-count',
      `The count is ${asText(row.key_count)}, and ${plural(facts.count, 'key')} stored.`,
      place,
    );
  }
  if (Number(row.byte_count) !== facts.bytes) {
    yield finding(
      'byte-count',
      `The bytes are ${asText(row.byte_count)}, and those of session_data are ${facts.bytes}.`,
      place,
    );
  }
  if (!(Number(row.largest_key) >= facts.largest)) {
    yield finding(
      'largest-key',
      `The largest key is said to have ${asText(row.largest_key)} bytes, and one has ${facts.largest}.`,
      place,
    );
  }
  if (!(isWhole(row.next_seq) && Number(row.next_seq) > facts.highestSeq)) {
    yield finding(
      'next-seq',
      `The next number is ${asText(row.next_seq)}, and a key has the number ${facts.highestSeq}.`,
      place,
    );
  }
}

function* wrongInKey(row: Row, room: Buffer | undefined, place: Place): Generator<RoomKeysFinding> {
  if (!room) {
    yield finding(
      'key-without-room',
      `No room has the key's number ${asText(row.room_no)}.`,
      place,
    );
  }
  if (isBadId(row.session_id)) yield badId('session id', row.session_id, place);
  else if (room && !isBadId(room)) {
    const ids = { roomId: room.toString(), sessionId: (row.session_id as Buffer).toString() };
    if (!Buffer.isBuffer(row.id_hash) || row.id_hash.toString('hex') !== idHash(ids)) {
      yield finding('id-hash', 'The hash is not that of the ids: no request finds the key.', place);
    }
  }
  if (row.device_id !== null && isBadId(row.device_id))
    yield badId('device id', row.device_id, place);
  for (const name of ['first_message_index', 'forwarded_count'] as const) {
    if (!isWhole(row[name])) {
      yield finding(
        'rank',
        `${name} is ${asText(row[name])}, which is no whole number from 0 to 2^53−1.`,
        place,
      );
    }
  }
  if (![0, 1].includes(Number(row.is_verified))) {
    yield finding(
      'rank',
      `is_verified is ${asText(row.is_verified)}, which is neither 0 nor 1.`,
      place,
    );
  }
  const fault = faultOfJson(row.session_data);
  if (fault) yield finding('session-data', `session_data ${fault}.`, place);
}

function faultOfJson(value: unknown): string | undefined {
  if (typeof value !== 'string' || !value.startsWith('{')) return 'is no JSON object';
  try {
    JSON.parse(value);
  } catch {
    return 'is no JSON';
  }
  return isAscii(value) ? undefined : 'holds characters beyond ASCII';
}

const isAscii = (text: string) => Buffer.byteLength(text) === text.length;

const isWhole = (value: unknown) =>
  value !== null && Number.isSafeInteger(Number(value)) && Number(value) >= 0;

function isBadId(value: unknown): boolean {
  return (
    !Buffer.isBuffer(value) || value.length === 0 || value.length > MAX_ID_BYTES || !isUtf8(value)
  );
}

const badId = (what: string, value: unknown, place: Place) =>
  finding(
    'id',
    Buffer.isBuffer(value) && (value.length === 0 || value.length > MAX_ID_BYTES)
      ? `The ${what} has ${value.length} bytes: it must have 1 to ${MAX_ID_BYTES}.`
      : `The ${what} is not UTF-8.`,
    place,
  );

const sameNumber = (one: unknown, other: unknown) =>
  one === null || other === null ? one === other : Number(one) === Number(other);

const asText = (value: unknown) =>
  typeof value === 'number' || typeof value === 'string'
    ? String(value)
    : value === null
      ? 'none'
      : 'no number';

const plural = (count: number, what: string) =>
  count === 1 ? `1 ${what} is` : `${count} ${what}s are`;

/** An id as text; as hexadecimal digits where it is none. */
function shown(value: unknown): string {
  // SQLite takes values of any type
  if (!Buffer.isBuffer(value)) return asText(value);
  return isUtf8(value) ? value.toString() : `0x${value.toString('hex')}`;
}

function finding(code: RoomKeysFindingCode, message: string, place: Place): RoomKeysFinding {
  return { code, message, ...place };
}
