/** THE SQL: every statement of the module. */
import { createHash } from 'node:crypto';
import type { DataSource, QueryRunner } from 'typeorm';
import type {
  Backup,
  BackupInformation,
  BackupSummary,
  KeyId,
  KeyRank,
  KeySelection,
  KeysState,
  RoomKey,
} from '../room-key.js';
import { type DatabaseFamily, familyOf } from './database-family.js';
import { KeyPages, type KeyPosition, type PageSource } from './key-pages.js';
import { openSnapshot } from './snapshot.js';
import { Transactions } from './transactions.js';

/** Rows per statement: bounds the size of a statement, and the ranges its optimizer has to plan. */
const ROWS_PER_STATEMENT = 500;
/** SQLite has no round trips to save, and keeps prepared statements by their text. */
const ROWS_PER_STATEMENT_SQLITE = 100;
/** Characters of `session_data` per statement: with escaping well below `max_allowed_packet`. */
const CHARACTERS_PER_STATEMENT = 2 * 1024 * 1024;
/** No server has a `max_allowed_packet` that this, each character escaped, would not fit in. */
const SMALL_VALUE = 256 * 1024;
/** What a statement holds beside its largest value. */
const STATEMENT_MARGIN = 64 * 1024;

/** A stored key as far as a new one is weighed against it. */
export interface StoredRank extends KeyRank {
  /** Identifies the row to {@link LockedBackup.replace}. */
  row: StoredRow;
}

interface StoredRow {
  roomNo: number;
  seq: number;
  bytes: number;
}

/** What {@link RoomKeysRepository.locked} finds. */
export interface LockedUser {
  /** The id of the user's newest backup that is not deleted. */
  currentVersion: string | undefined;
  /** Whether the version asked for was ever given to this user, deleted or not. */
  everExisted: boolean;
  /** The backup asked for, unless it is deleted or never existed. */
  backup: LockedBackup | undefined;
}

type Row = Record<string, unknown>;

const bytes = (text: string) => Buffer.from(text, 'utf8');
const text = (value: unknown) => (value as Buffer).toString('utf8');

/**
 * What finds a key: 128 bits of SHA-256 over both ids, each of which tells its own length.
 * An index on it takes 40 bytes a key where one on the ids themselves would take over 100, and
 * stays in memory at a million keys. Two ids of one hash take 2^64 attempts to make, and would
 * harm only the backup of their maker, whose reads compare the ids themselves.
 */
function idHash({ roomId, sessionId }: KeyId): Buffer {
  const room = bytes(roomId);
  return createHash('sha256')
    .update(Uint8Array.of(room.length))
    .update(room)
    .update(sessionId, 'utf8')
    .digest()
    .subarray(0, 16);
}

/**
 * Reads and writes the five tables. Each method's doc opens with what it costs on MySQL, the
 * BEGIN and COMMIT of a transaction included, and with what it locks.
 *
 * @internal
 */
export class RoomKeysRepository {
  private readonly family: DatabaseFamily;
  private readonly tables: Tables;
  private readonly transactions: Transactions;
  private maxAllowedPacket: Promise<number> | undefined;

  constructor(private readonly dataSource: DataSource) {
    this.family = familyOf(dataSource.options.type);
    this.tables = tableNames(dataSource.options.entityPrefix ?? '');
    this.transactions = Transactions.of(dataSource);
  }

  /**
   * None, or 1 the first time that a value is large: whether a JSON text fits into a statement. One
   * that does not would end the connection, and look like a database that is away.
   */
  async fits(json: string): Promise<boolean> {
    if (this.family === 'sqlite' || json.length <= SMALL_VALUE) return true;
    this.maxAllowedPacket ??= this.readMaxAllowedPacket();
    // the driver writes a backslash before each of these
    const escaped = json.length + (json.match(/["'\\]/g)?.length ?? 0);
    return escaped + STATEMENT_MARGIN <= (await this.maxAllowedPacket);
  }

  /**
   * 6 statements; locks the user. The user's row is made or counted up first, so two of these for
   * one user are given different versions.
   */
  createBackup(userId: string, { algorithm, authData }: BackupInformation): Promise<string> {
    const { users, backups } = this.tables;
    const user = bytes(userId);
    return this.transactions.run(async (runner) => {
      const next =
        this.family === 'mysql' ? 'ON DUPLICATE KEY UPDATE' : 'ON CONFLICT (user_id) DO UPDATE SET';
      // In this order it reads the same where assignments see each other's effect (MySQL) and
      // where they do not (SQLite).
      await runner.query(
        `INSERT INTO ${users} (user_id, last_version, current_version) VALUES (?, 1, 1)
         ${next} current_version = last_version + 1, last_version = last_version + 1`,
        [user],
      );
      const [row] = await rows(
        runner,
        `SELECT last_version AS version FROM ${users} WHERE user_id = ?`,
        [user],
      );
      const version = Number(row?.version);
      const keySetId = await this.newKeySet(runner);
      const now = Date.now();
      await runner.query(
        `INSERT INTO ${backups} (user_id, version, key_set_id, algorithm, auth_data, etag, key_count,
           byte_count, largest_key, next_seq, created_at, changed_at)
         VALUES (?, ?, ?, ?, ?, 0, 0, 0, 0, 0, ?, ?)`,
        [user, version, keySetId, bytes(algorithm), authData, now, now],
      );
      return String(version);
    });
  }

  /** 1 statement, no lock: the newest backup that is not deleted. */
  async currentBackup(userId: string): Promise<Backup | undefined> {
    const { users, backups } = this.tables;
    const [row] = await this.read(
      `SELECT ${backupColumns} FROM ${users} u
       JOIN ${backups} b ON b.user_id = u.user_id AND b.version = u.current_version
       WHERE u.user_id = ?`,
      [bytes(userId)],
    );
    return row && asBackup(row);
  }

  /** 1 statement, no lock. */
  async backup(userId: string, version: string): Promise<Backup | undefined> {
    const id = versionNumber(version);
    if (id === undefined) return undefined;
    const [row] = await this.read(
      `SELECT ${backupColumns} FROM ${this.tables.backups} b WHERE b.user_id = ? AND b.version = ?`,
      [bytes(userId), id],
    );
    return row && asBackup(row);
  }

  /**
   * 3 statements and those of `work`; locks the user and the backup. One statement finds and locks
   * both, before anything else is read: what `work` reads after it, it reads as it is now, and
   * nobody else changes it until `work` is through. `work` runs again from the start when the
   * database gave up its transaction in favour of another.
   */
  async locked<T>(
    userId: string,
    version: string,
    work: (user: LockedUser) => Promise<T>,
  ): Promise<T> {
    const { users, backups } = this.tables;
    const user = bytes(userId);
    const id = versionNumber(version);
    return this.transactions.run(async (runner) => {
      if (this.family === 'sqlite') {
        // Takes SQLite's write lock before anything is read: a transaction that begins with a
        // read could not write any more once another process has.
        await runner.query(`UPDATE ${users} SET last_version = last_version WHERE user_id = ?`, [
          user,
        ]);
      }
      const [row] = await rows(
        runner,
        `SELECT u.last_version, u.current_version, b.version, b.algorithm, b.key_set_id, b.etag,
           b.key_count, b.byte_count, b.largest_key, b.next_seq
         FROM ${users} u LEFT JOIN ${backups} b ON b.user_id = u.user_id AND b.version = ?
         WHERE u.user_id = ?${this.family === 'mysql' ? ' FOR UPDATE' : ''}`,
        [id ?? 0, user],
      );
      const exists = row?.version !== null && row?.version !== undefined;
      return work({
        currentVersion:
          row?.current_version === null || row?.current_version === undefined
            ? undefined
            : String(Number(row.current_version)),
        everExisted: row !== undefined && id !== undefined && id <= Number(row.last_version),
        backup: exists
          ? new LockedBackup(runner, this.family, this.tables, user, row, () =>
              this.newKeySet(runner),
            )
          : undefined,
      });
    });
  }

  /**
   * 1 statement, no lock.
   *
   * @returns undefined where there is no such backup, null where it has no such key
   */
  async key(userId: string, version: string, id: KeyId): Promise<RoomKey | null | undefined> {
    const { backups, rooms, keys } = this.tables;
    const versionId = versionNumber(version);
    if (versionId === undefined) return undefined;
    const [row] = await this.read(
      `SELECT k.session_id, k.first_message_index, k.forwarded_count, k.is_verified, k.session_data
       FROM ${backups} b
       LEFT JOIN ${rooms} r ON r.key_set_id = b.key_set_id AND r.room_id = ?
       LEFT JOIN ${keys} k ON k.key_set_id = b.key_set_id AND k.id_hash = ?
         AND k.room_no = r.room_no AND k.session_id = ?
       WHERE b.user_id = ? AND b.version = ?`,
      [bytes(id.roomId), idHash(id), bytes(id.sessionId), bytes(userId), versionId],
    );
    if (!row) return undefined;
    return row.session_id === null ? null : asKey(row, id.roomId);
  }

  /**
   * 3 statements and one per page, no lock: all keys, or those of a room, as of one moment, one
   * room after the other, in pages that are small enough to be held in memory.
   *
   * @returns undefined where there is no such backup; the caller closes what it is given
   */
  async keys(
    userId: string,
    version: string,
    { roomId }: KeySelection,
  ): Promise<KeyPages | undefined> {
    const { backups, rooms, keys } = this.tables;
    const id = versionNumber(version);
    if (id === undefined) return undefined;
    const snapshot = await openSnapshot(this.dataSource, this.transactions);
    try {
      const [backup] = await snapshot.query(
        `SELECT key_set_id, key_count, largest_key FROM ${backups} WHERE user_id = ? AND version = ?`,
        [bytes(userId), id],
      );
      if (!backup) {
        await snapshot.close();
        return undefined;
      }
      const set = Number(backup.key_set_id);
      const inRoom = roomId === undefined ? '' : ' AND room_id = ?';
      const roomRows = await snapshot.query(
        `SELECT room_no, room_id FROM ${rooms} WHERE key_set_id = ?${inRoom}`,
        roomId === undefined ? [set] : [set, bytes(roomId)],
      );
      const roomIds = new Map(roomRows.map((row) => [Number(row.room_no), text(row.room_id)]));
      const onlyRoom =
        roomId === undefined ? undefined : roomRows[0] && Number(roomRows[0].room_no);
      const source: PageSource = {
        keyCount: roomId !== undefined && onlyRoom === undefined ? 0 : Number(backup.key_count),
        largestKey: Number(backup.largest_key),
        page: async (after, limit) => {
          const [where, position] =
            onlyRoom === undefined
              ? this.laterThan(after)
              : ['room_no = ? AND seq > ?', [onlyRoom, after.seq]];
          const page = await snapshot.query(
            `SELECT room_no, seq, session_id, first_message_index, forwarded_count, is_verified,
               session_data
             FROM ${keys} WHERE key_set_id = ? AND ${where} ORDER BY room_no, seq LIMIT ${limit}`,
            [set, ...position],
          );
          return page.map((row) => ({
            position: { roomNo: Number(row.room_no), seq: Number(row.seq) },
            key: asKey(row, roomIds.get(Number(row.room_no)) ?? ''),
          }));
        },
        close: () => snapshot.close(),
      };
      const pages = new KeyPages(source);
      return snapshot.holdsUpOthers ? await pages.buffered() : pages;
    } catch (error) {
      await snapshot.close();
      throw error;
    }
  }

  /**
   * 6 statements, however many keys there are; locks the user. Forgets all backups and retires
   * their keys. What stays is the number of the last version, so that none is given out twice.
   */
  eraseUser(userId: string): Promise<void> {
    const { users, backups, keySets } = this.tables;
    const user = bytes(userId);
    return this.transactions.run(async (runner) => {
      // comes first, as in every change: it takes the lock
      await runner.query(`UPDATE ${users} SET current_version = NULL WHERE user_id = ?`, [user]);
      const sets = await rows(runner, `SELECT key_set_id FROM ${backups} WHERE user_id = ?`, [
        user,
      ]);
      // not by a subquery: MariaDB before 11.1 would go through, and lock, every row of the table
      for (const some of chunks(sets, ROWS_PER_STATEMENT)) {
        await runner.query(
          `UPDATE ${keySets} SET retired_at = ? WHERE key_set_id IN (${placeholders(some.length)})`,
          [Date.now(), ...some.map((row) => row.key_set_id)],
        );
      }
      await runner.query(`DELETE FROM ${backups} WHERE user_id = ?`, [user]);
    });
  }

  /** 1 statement and 1 per backup, which reads all of its keys; no lock. */
  async summaries(userId: string): Promise<BackupSummary[]> {
    const { backups, keys } = this.tables;
    const found = await this.read(
      `SELECT version, algorithm, etag, key_count, byte_count, created_at, changed_at, key_set_id
       FROM ${backups} WHERE user_id = ? ORDER BY version`,
      [bytes(userId)],
    );
    const summaries: BackupSummary[] = [];
    for (const row of found) {
      const devices = await this.read(
        `SELECT DISTINCT device_id FROM ${keys} WHERE key_set_id = ? AND device_id IS NOT NULL`,
        [row.key_set_id],
      );
      summaries.push({
        version: String(Number(row.version)),
        algorithm: text(row.algorithm),
        count: Number(row.key_count),
        etag: String(Number(row.etag)),
        bytes: Number(row.byte_count),
        createdAt: new Date(Number(row.created_at)),
        changedAt: new Date(Number(row.changed_at)),
        devices: devices.map((device) => text(device.device_id)),
      });
    }
    return summaries;
  }

  /**
   * 1 statement, no lock.
   *
   * @returns the key sets that wait to be swept, those that were retired first at the front
   */
  async retiredKeySets(limit: number): Promise<number[]> {
    const found = await this.read(
      `SELECT key_set_id FROM ${this.tables.keySets} WHERE retired_at IS NOT NULL
       ORDER BY retired_at, key_set_id LIMIT ${limit}`,
      [],
    );
    return found.map((row) => Number(row.key_set_id));
  }

  /**
   * 3 statements, or 5 with the last rows; locks up to `limit` rows that nobody reads any more.
   * Safe to run in several processes at once, and to be broken off at any point.
   *
   * @returns whether anything of the set is left
   */
  sweepKeySet(keySetId: number, limit: number): Promise<boolean> {
    const { keySets, rooms, keys } = this.tables;
    return this.transactions.run(async (runner) => {
      const some =
        this.family === 'mysql'
          ? `DELETE FROM ${keys} WHERE key_set_id = ? ORDER BY room_no, seq LIMIT ${limit}`
          : `DELETE FROM ${keys} WHERE rowid IN
               (SELECT rowid FROM ${keys} WHERE key_set_id = ? LIMIT ${limit})`;
      if ((await affected(runner, some, [keySetId])) === limit) return true;
      await runner.query(`DELETE FROM ${rooms} WHERE key_set_id = ?`, [keySetId]);
      await runner.query(`DELETE FROM ${keySets} WHERE key_set_id = ?`, [keySetId]);
      return false;
    });
  }

  /** The same in the form that each optimizer reads as one range of the primary key. */
  private laterThan({ roomNo, seq }: KeyPosition): [where: string, parameters: number[]] {
    return this.family === 'mysql'
      ? ['(room_no = ? AND seq > ? OR room_no > ?)', [roomNo, seq, roomNo]]
      : ['(room_no, seq) > (?, ?)', [roomNo, seq]];
  }

  private async newKeySet(runner: QueryRunner): Promise<number> {
    const result: unknown = await runner.query(
      `INSERT INTO ${this.tables.keySets} (retired_at) VALUES (NULL)`,
    );
    // the driver's own: SQLite answers with the row id, MySQL with a packet that holds it
    return Number(
      typeof result === 'object' && result !== null && 'insertId' in result
        ? result.insertId
        : result,
    );
  }

  private async readMaxAllowedPacket(): Promise<number> {
    try {
      const [row] = await this.read('SELECT @@max_allowed_packet AS bytes', []);
      return Number(row?.bytes);
    } catch (error) {
      this.maxAllowedPacket = undefined;
      throw error;
    }
  }

  private read(sql: string, parameters: unknown[]): Promise<Row[]> {
    return this.transactions.single((runner) => rows(runner, sql, parameters));
  }
}

/**
 * A backup that nobody else can change until the transaction ends: keys are written and removed
 * through this class only, so none is without the lock, and none without a step of the etag.
 */
export class LockedBackup {
  readonly algorithm: string;
  readonly version: string;
  private readonly versionId: number;
  private keySetId: number;
  private etag: number;
  private keyCount: number;
  private byteCount: number;
  private largestKey: number;
  private nextSeq: number;

  constructor(
    private readonly runner: QueryRunner,
    private readonly family: DatabaseFamily,
    private readonly tables: Tables,
    private readonly user: Buffer,
    row: Row,
    private readonly newKeySet: () => Promise<number>,
  ) {
    this.algorithm = text(row.algorithm);
    this.versionId = Number(row.version);
    this.version = String(this.versionId);
    this.keySetId = Number(row.key_set_id);
    this.etag = Number(row.etag);
    this.keyCount = Number(row.key_count);
    this.byteCount = Number(row.byte_count);
    this.largestKey = Number(row.largest_key);
    this.nextSeq = Number(row.next_seq);
  }

  /** Count and etag as they are, which no other transaction can change meanwhile. */
  get state(): KeysState {
    return { count: this.keyCount, etag: String(this.etag) };
  }

  /** 1 statement. */
  async updateAuthData(authData: string): Promise<void> {
    await this.runner.query(
      `UPDATE ${this.tables.backups} SET auth_data = ? WHERE user_id = ? AND version = ?`,
      [authData, this.user, this.versionId],
    );
  }

  /**
   * 1 statement per 500 keys: the ranks of those among `keys` that are stored, in the order of
   * `keys`, undefined for those that are not.
   */
  async ranks(keys: readonly KeyId[]): Promise<(StoredRank | undefined)[]> {
    const hashes = keys.map(idHash);
    const found = new Map<string, StoredRank>();
    for (const some of chunks(hashes, this.rowsPerStatement)) {
      const stored = await rows(
        this.runner,
        `SELECT id_hash, room_no, seq, first_message_index, forwarded_count, is_verified,
           OCTET_LENGTH(session_data) AS bytes
         FROM ${this.tables.keys} WHERE key_set_id = ? AND id_hash IN (${placeholders(some.length)})`,
        [this.keySetId, ...some],
      );
      for (const row of stored) {
        found.set((row.id_hash as Buffer).toString('latin1'), {
          ...asRank(row),
          row: asStoredRow(row),
        });
      }
    }
    return hashes.map((hash) => found.get(hash.toString('latin1')));
  }

  /**
   * Up to 3 statements per 500 keys: finds the numbers of their rooms, numbers those that are new,
   * adds the rows. A plain INSERT: it can never overwrite a key.
   */
  async add(keys: readonly RoomKey[], deviceId: string | undefined): Promise<void> {
    if (keys.length === 0) return;
    const roomNumbers = await this.numberRooms(keys);
    const device = deviceId === undefined ? null : bytes(deviceId);
    for (const some of this.statementsOf(keys)) {
      await this.runner.query(
        `INSERT INTO ${this.tables.keys} (key_set_id, room_no, seq, id_hash, session_id,
           first_message_index, forwarded_count, is_verified, device_id, session_data)
         VALUES ${rowPlaceholders(some.length, 10)}`,
        some.flatMap((key) => [
          this.keySetId,
          roomNumbers.get(key.roomId),
          this.nextSeq++,
          idHash(key),
          bytes(key.sessionId),
          key.firstMessageIndex,
          key.forwardedCount,
          key.isVerified ? 1 : 0,
          device,
          key.sessionData,
        ]),
      );
    }
    this.keyCount += keys.length;
    for (const { sessionData } of keys) this.countBytes(0, sessionData.length);
  }

  /** 1 statement per 500 keys: puts each key in the place of the stored one of the same ids. */
  async replace(
    keys: readonly { key: RoomKey; stored: StoredRank }[],
    deviceId: string | undefined,
  ): Promise<void> {
    const device = deviceId === undefined ? null : bytes(deviceId);
    // MySQL 8.0.20 and newer call VALUES() deprecated, MariaDB knows nothing else
    const value =
      this.family === 'mysql' ? (c: string) => `VALUES(${c})` : (c: string) => `excluded.${c}`;
    const set = [
      'first_message_index',
      'forwarded_count',
      'is_verified',
      'device_id',
      'session_data',
    ]
      .map((column) => `${column} = ${value(column)}`)
      .join(', ');
    const onDuplicate =
      this.family === 'mysql'
        ? `ON DUPLICATE KEY UPDATE ${set}`
        : `ON CONFLICT (key_set_id, room_no, seq) DO UPDATE SET ${set}`;
    for (const some of this.statementsOf(keys.map(({ key, stored }) => ({ ...key, stored })))) {
      await this.runner.query(
        `INSERT INTO ${this.tables.keys} (key_set_id, room_no, seq, id_hash, session_id,
           first_message_index, forwarded_count, is_verified, device_id, session_data)
         VALUES ${rowPlaceholders(some.length, 10)} ${onDuplicate}`,
        some.flatMap((key) => [
          this.keySetId,
          key.stored.row.roomNo,
          key.stored.row.seq,
          idHash(key),
          bytes(key.sessionId),
          key.firstMessageIndex,
          key.forwardedCount,
          key.isVerified ? 1 : 0,
          device,
          key.sessionData,
        ]),
      );
    }
    for (const { key, stored } of keys) this.countBytes(stored.row.bytes, key.sessionData.length);
  }

  /**
   * 2 statements for all keys, however many there are; 4 for a room, which take as long as it has
   * keys; 2 for a session.
   *
   * @returns whether there was anything to remove
   */
  async remove(selection: KeySelection): Promise<boolean> {
    if (selection.roomId === undefined) return this.removeAll();
    if (selection.sessionId === undefined) return this.removeRoom(selection.roomId);
    return this.removeKey(selection);
  }

  /** 1 statement: takes the step of the etag that every change of the keys ends with. */
  async touch(): Promise<KeysState> {
    this.etag += 1;
    await this.runner.query(
      `UPDATE ${this.tables.backups} SET etag = ?, key_count = ?, byte_count = ?, largest_key = ?,
         next_seq = ?, key_set_id = ?, changed_at = ? WHERE user_id = ? AND version = ?`,
      [
        this.etag,
        this.keyCount,
        this.byteCount,
        this.largestKey,
        this.nextSeq,
        this.keySetId,
        Date.now(),
        this.user,
        this.versionId,
      ],
    );
    return this.state;
  }

  /**
   * 3 statements, however many keys there are: forgets the backup, retires its keys, and makes the
   * newest of those that are left the current one.
   */
  async delete(): Promise<void> {
    const { users, backups } = this.tables;
    await this.runner.query(`DELETE FROM ${backups} WHERE user_id = ? AND version = ?`, [
      this.user,
      this.versionId,
    ]);
    await this.retireKeySet();
    await this.runner.query(
      `UPDATE ${users} SET current_version =
         (SELECT MAX(version) FROM ${backups} WHERE user_id = ?) WHERE user_id = ?`,
      [this.user, this.user],
    );
  }

  private async removeAll(): Promise<boolean> {
    if (this.keyCount === 0) return false;
    await this.retireKeySet();
    this.keySetId = await this.newKeySet();
    this.keyCount = 0;
    this.byteCount = 0;
    this.largestKey = 0;
    this.nextSeq = 0;
    return true;
  }

  private async removeRoom(roomId: string): Promise<boolean> {
    const { rooms, keys } = this.tables;
    const [room] = await rows(
      this.runner,
      `SELECT room_no FROM ${rooms} WHERE key_set_id = ? AND room_id = ?`,
      [this.keySetId, bytes(roomId)],
    );
    if (!room) return false;
    const where = 'WHERE key_set_id = ? AND room_no = ?';
    const which = [this.keySetId, Number(room.room_no)];
    const [sum] = await rows(
      this.runner,
      `SELECT COUNT(*) AS count, COALESCE(SUM(OCTET_LENGTH(session_data)), 0) AS bytes FROM ${keys} ${where}`,
      which,
    );
    await this.runner.query(`DELETE FROM ${keys} ${where}`, which);
    await this.runner.query(`DELETE FROM ${rooms} WHERE key_set_id = ? AND room_id = ?`, [
      this.keySetId,
      bytes(roomId),
    ]);
    this.keyCount -= Number(sum?.count);
    this.byteCount -= Number(sum?.bytes);
    return Number(sum?.count) > 0;
  }

  private async removeKey(id: KeyId): Promise<boolean> {
    const [stored] = await this.ranks([id]);
    if (!stored) return false;
    await this.runner.query(
      `DELETE FROM ${this.tables.keys} WHERE key_set_id = ? AND room_no = ? AND seq = ?`,
      [this.keySetId, stored.row.roomNo, stored.row.seq],
    );
    this.keyCount -= 1;
    this.byteCount -= stored.row.bytes;
    return true;
  }

  private async retireKeySet(): Promise<void> {
    await this.runner.query(
      `UPDATE ${this.tables.keySets} SET retired_at = ? WHERE key_set_id = ?`,
      [Date.now(), this.keySetId],
    );
  }

  private async numberRooms(keys: readonly RoomKey[]): Promise<Map<string, number>> {
    const { rooms } = this.tables;
    const roomIds = [...new Set(keys.map((key) => key.roomId))];
    const numbers = new Map<string, number>();
    for (const some of chunks(roomIds, this.rowsPerStatement)) {
      const known = await rows(
        this.runner,
        `SELECT room_id, room_no FROM ${rooms}
         WHERE key_set_id = ? AND room_id IN (${placeholders(some.length)})`,
        [this.keySetId, ...some.map(bytes)],
      );
      for (const row of known) numbers.set(text(row.room_id), Number(row.room_no));
    }
    // Keys are numbered in the order in which they are added: the first of a room gives it its number.
    const added: [roomId: string, roomNo: number][] = [];
    keys.forEach(({ roomId }, index) => {
      if (numbers.has(roomId)) return;
      numbers.set(roomId, this.nextSeq + index);
      added.push([roomId, this.nextSeq + index]);
    });
    for (const some of chunks(added, this.rowsPerStatement)) {
      await this.runner.query(
        `INSERT INTO ${rooms} (key_set_id, room_id, room_no) VALUES ${rowPlaceholders(some.length, 3)}`,
        some.flatMap(([roomId, roomNo]) => [this.keySetId, bytes(roomId), roomNo]),
      );
    }
    return numbers;
  }

  private countBytes(before: number, after: number): void {
    this.byteCount += after - before;
    this.largestKey = Math.max(this.largestKey, after);
  }

  private get rowsPerStatement(): number {
    return this.family === 'mysql' ? ROWS_PER_STATEMENT : ROWS_PER_STATEMENT_SQLITE;
  }

  private statementsOf<T extends RoomKey>(keys: readonly T[]): T[][] {
    const statements: T[][] = [];
    let characters = Infinity;
    for (const key of keys) {
      characters += key.sessionData.length;
      const last = statements.at(-1);
      if (last && last.length < this.rowsPerStatement && characters <= CHARACTERS_PER_STATEMENT) {
        last.push(key);
      } else {
        statements.push([key]);
        characters = key.sessionData.length;
      }
    }
    return statements;
  }
}

// --- from and to rows -------------------------------------------------------------------------

interface Tables {
  users: string;
  backups: string;
  keySets: string;
  rooms: string;
  keys: string;
}

/** Backticks quote a name in MySQL, whatever its `sql_mode`, and in SQLite. */
function tableNames(prefix: string): Tables {
  const table = (name: string) => `\`${prefix}room_keys_${name}\``;
  return {
    users: table('users'),
    backups: table('backups'),
    keySets: table('key_sets'),
    rooms: table('rooms'),
    keys: table('keys'),
  };
}

const backupColumns = 'b.version, b.algorithm, b.auth_data, b.etag, b.key_count';

const asBackup = (row: Row): Backup => ({
  version: String(Number(row.version)),
  algorithm: text(row.algorithm),
  authData: row.auth_data as string,
  count: Number(row.key_count),
  etag: String(Number(row.etag)),
});

const asRank = (row: Row): KeyRank => ({
  isVerified: Number(row.is_verified) === 1,
  firstMessageIndex: Number(row.first_message_index),
  forwardedCount: Number(row.forwarded_count),
});

const asStoredRow = (row: Row): StoredRow => ({
  roomNo: Number(row.room_no),
  seq: Number(row.seq),
  bytes: Number(row.bytes),
});

const asKey = (row: Row, roomId: string): RoomKey => ({
  roomId,
  sessionId: text(row.session_id),
  ...asRank(row),
  sessionData: row.session_data as string,
});

/** The number of a version id; undefined for what is not one, which is a backup that does not exist. */
function versionNumber(version: string): number | undefined {
  if (!/^[1-9][0-9]{0,15}$/.test(version)) return undefined;
  const id = Number(version);
  return Number.isSafeInteger(id) ? id : undefined;
}

async function rows(runner: QueryRunner, sql: string, parameters: unknown[]): Promise<Row[]> {
  return (await runner.query(sql, parameters)) as Row[];
}

async function affected(runner: QueryRunner, sql: string, parameters: unknown[]): Promise<number> {
  const result = await runner.query(sql, parameters, true);
  return result.affected ?? 0;
}

const placeholders = (count: number) => Array(count).fill('?').join(', ');

const rowPlaceholders = (rowCount: number, columns: number) =>
  Array(rowCount)
    .fill(`(${placeholders(columns)})`)
    .join(', ');

function* chunks<T>(all: readonly T[], size: number): Generator<T[]> {
  for (let start = 0; start < all.length; start += size) yield all.slice(start, start + size);
}
