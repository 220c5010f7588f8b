import type { QueryRunner } from 'typeorm';
import type { KeyId, KeyRank, KeySelection, KeysState, RoomKey } from '../room-key.js';
import type { DatabaseFamily } from './database-family.js';
import { idHash } from './id-hash.js';
import { SqlValues } from './sql-values.js';
import { insertKeys, insertRooms, replaceRow } from './key-rows.js';
import {
  asRank,
  bytes,
  chunks,
  hex,
  numberOrUndefined,
  type Row,
  rows,
  rowsPerStatement,
  text,
} from './rows.js';
import type { Tables } from './tables.js';
import { newestBackup, newestWithheld, withheldVersions } from './withheld-versions.js';

/** A stored key as far as a new one is weighed against it. */
export interface StoredRank extends KeyRank {
  /** Identifies the row to {@link LockedBackup.replace}. */
  row: StoredRow;
}

export interface StoredRow {
  roomNo: number;
  seq: number;
  bytes: number;
}

/** What `RoomKeysRepository.glance` finds: a backup, and the ranks of some keys in it, as of one moment. */
export interface Glance {
  /** Whether it is the user's current backup. */
  isCurrent: boolean;
  /** Whether it is as an import left it, and its source would be followed. */
  isMirror: boolean;
  state: KeysState;
  /** The ranks of the keys that were asked for, in their order; undefined for those that are not stored. */
  ranks: readonly (StoredRank | undefined)[];
  /** Of the keys that were asked for. */
  hashes: ReadonlyMap<KeyId, string>;
  /** The numbers of their rooms, as far as they have one. */
  roomNumbers: ReadonlyMap<string, number>;
  /** Equal as long as no key of the backup has changed. */
  moment: Moment;
}

export interface Moment {
  keySetId: number;
  etag: number;
  changedAt: number;
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
  private readonly changedAt: number;
  private readonly mirroredEtag: number | undefined;
  private readonly newestWithheld: number;
  /** Of the rooms that were looked for, as far as they have one. */
  private readonly roomNumbers = new Map<string, number>();
  private readonly hashes = new Map<KeyId, string>();

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
    this.changedAt = Number(row.changed_at);
    this.mirroredEtag = numberOrUndefined(row.mirrored_etag);
    this.newestWithheld = newestWithheld(withheldVersions(row.withheld_versions));
  }

  /** Whether it is as an import left it, equal to where it came from: nobody has changed it since. */
  get isMirror(): boolean {
    return this.mirroredEtag === this.etag;
  }

  /** Count and etag as they are, which no other transaction can change meanwhile. */
  get state(): KeysState {
    return { count: this.keyCount, etag: String(this.etag) };
  }

  /** 1 statement: bytes of all `session_data` in all backups of the user, which the lock keeps as they are. */
  async bytesOfUser(): Promise<number> {
    const [row] = await rows(
      this.runner,
      `SELECT COALESCE(SUM(byte_count), 0) AS bytes FROM ${this.tables.backups} WHERE user_id = ?`,
      [this.user],
    );
    return Number(row?.bytes);
  }

  /** 1 statement. From now on an import merges keys into the backup, and follows its source no more. */
  async updateAuthData(authData: string): Promise<void> {
    await this.runner.query(
      `UPDATE ${this.tables.backups} SET auth_data = ?, mirrored_etag = NULL WHERE user_id = ? AND version = ?`,
      [authData, this.user, this.versionId],
    );
  }

  /** 1 statement where it is a mirror, else none: from now on an import merges keys, and follows no more. */
  async leaveSource(): Promise<void> {
    if (!this.isMirror) return;
    await this.runner.query(
      `UPDATE ${this.tables.backups} SET mirrored_etag = NULL WHERE user_id = ? AND version = ?`,
      [this.user, this.versionId],
    );
  }

  /**
   * 1 statement per 500 keys: the ranks of those among `keys` that are stored, in the order of
   * `keys`, undefined for those that are not. On the way it finds the numbers of their rooms.
   *
   * @param glance at the same keys: where nothing has changed since, it says it all, with no statement
   */
  async ranks(
    keys: readonly KeyId[],
    glance?: Glance,
  ): Promise<readonly (StoredRank | undefined)[]> {
    // a hash stays what it is
    for (const [key, hash] of glance?.hashes ?? []) this.hashes.set(key, hash);
    if (glance && this.isAsOf(glance.moment)) {
      for (const [roomId, roomNo] of glance.roomNumbers) this.roomNumbers.set(roomId, roomNo);
      return glance.ranks;
    }
    const { keys: table, rooms } = this.tables;
    const found = new Map<string, StoredRank>();
    for (const some of chunks(keys, rowsPerStatement(this.family))) {
      const roomIds = [...new Set(some.map(({ roomId }) => roomId))];
      const values = new SqlValues(this.family);
      const set = () => values.integer(this.keySetId);
      const stored = await rows(
        this.runner,
        `SELECT id_hash AS id, room_no, seq, first_message_index, forwarded_count, is_verified,
           OCTET_LENGTH(session_data) AS bytes
         FROM ${table} WHERE key_set_id = ${set()}
           AND id_hash IN (${some.map((key) => values.hex(this.hashOf(key))).join()})
         UNION ALL SELECT room_id, room_no, NULL, NULL, NULL, NULL, NULL
         FROM ${rooms} WHERE key_set_id = ${set()}
           AND room_id IN (${roomIds.map((roomId) => values.bytesOf(roomId)).join()})`,
        values.parameters,
      );
      for (const row of stored) {
        if (row.seq === null) this.roomNumbers.set(text(row.id), Number(row.room_no));
        else found.set(hex(row.id), { ...asRank(row), row: asStoredRow(row) });
      }
    }
    return keys.map((key) => found.get(this.hashOf(key)));
  }

  /**
   * 1 statement per 500 keys, and 1 per 500 rooms that are new: adds the rows. A plain INSERT: it can
   * never overwrite a key.
   *
   * @param keys whose ranks were asked for
   */
  async add(keys: readonly RoomKey[], deviceId: string | undefined): Promise<void> {
    if (keys.length === 0) return;
    const newRooms: [roomId: string, roomNo: number][] = [];
    const placed = keys.map((key) => {
      const seq = this.nextSeq++;
      let roomNo = this.roomNumbers.get(key.roomId);
      if (roomNo === undefined) {
        // the first key of a room gives it its number
        this.roomNumbers.set(key.roomId, (roomNo = seq));
        newRooms.push([key.roomId, roomNo]);
      }
      return { key, deviceId, hash: this.hashOf(key), roomNo, seq };
    });
    await insertRooms(this.runner, this.family, this.tables, this.keySetId, newRooms);
    await insertKeys(this.runner, this.family, this.tables, this.keySetId, placed);
    this.keyCount += keys.length;
    for (const { sessionData } of keys) this.countBytes(0, sessionData.length);
  }

  /** 1 statement per 500 keys: puts each key in the place of the stored one of the same ids. */
  async replace(
    keys: readonly { key: RoomKey; stored: StoredRank }[],
    deviceId: string | undefined,
  ): Promise<void> {
    const placed = keys.map(({ key, stored: { row } }) => ({
      key,
      deviceId,
      hash: this.hashOf(key),
      roomNo: row.roomNo,
      seq: row.seq,
    }));
    await insertKeys(
      this.runner,
      this.family,
      this.tables,
      this.keySetId,
      placed,
      replaceRow[this.family],
    );
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

  /**
   * 1 statement: takes the step of the etag that every change of the keys ends with.
   *
   * @param above an etag that clients may know for other keys: it is stepped over
   */
  async touch(above = 0): Promise<KeysState> {
    this.etag = Math.max(this.etag, above) + 1;
    return this.write();
  }

  /** 2 statements: takes over etag and `auth_data` of where the backup came from, which its keys are equal to. */
  async mirror({ etag, authData }: { etag: number; authData: string }): Promise<KeysState> {
    this.etag = etag;
    await this.runner.query(
      `UPDATE ${this.tables.backups} SET auth_data = ?, mirrored_etag = ? WHERE user_id = ? AND version = ?`,
      [authData, etag, this.user, this.versionId],
    );
    return this.write();
  }

  private async write(): Promise<KeysState> {
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
        // never back, where another server's clock is ahead of ours
        Math.max(Date.now(), this.changedAt),
        this.user,
        this.versionId,
      ],
    );
    return this.state;
  }

  /**
   * 3 statements, however many keys there are: forgets the backup, retires its keys, and makes the
   * newest of those that are left the current one, unless an import could not take a newer one.
   */
  async delete(): Promise<void> {
    const { users, backups } = this.tables;
    await this.runner.query(`DELETE FROM ${backups} WHERE user_id = ? AND version = ?`, [
      this.user,
      this.versionId,
    ]);
    await this.retireKeySet();
    await this.runner.query(
      `UPDATE ${users} SET revision = revision + 1, current_version =
         ${newestBackup(this.tables)} WHERE user_id = ?`,
      [this.user, this.newestWithheld, this.user],
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
    // The room keeps its row: its number may just be given to a key on another node of a cluster, and
    // nothing that is changed here would meet with that.
    if (Number(sum?.count) === 0) return false;
    await this.runner.query(`DELETE FROM ${keys} ${where}`, which);
    await this.runner.query(`DELETE FROM ${rooms} WHERE key_set_id = ? AND room_id = ?`, [
      this.keySetId,
      bytes(roomId),
    ]);
    this.keyCount -= Number(sum?.count);
    this.byteCount -= Number(sum?.bytes);
    return true;
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

  private isAsOf({ keySetId, etag, changedAt }: Moment): boolean {
    return keySetId === this.keySetId && etag === this.etag && changedAt === this.changedAt;
  }

  private hashOf(key: KeyId): string {
    let known = this.hashes.get(key);
    if (!known) this.hashes.set(key, (known = idHash(key)));
    return known;
  }

  private countBytes(before: number, after: number): void {
    this.byteCount += after - before;
    this.largestKey = Math.max(this.largestKey, after);
  }
}

const asStoredRow = (row: Row): StoredRow => ({
  roomNo: Number(row.room_no),
  seq: Number(row.seq),
  bytes: Number(row.bytes),
});
