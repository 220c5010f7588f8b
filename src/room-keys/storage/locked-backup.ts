import type { KeyId, KeySelection, KeysState, RoomKey } from '../room-key.js';
import type { Connection, Row } from './database/connection.js';
import { asOfNow, type TableUpdate } from './database/dialect.js';
import { bytes, idHash, text } from './rows.js';
import { appendAuthData } from './backup-rows.js';
import {
  insertKeys,
  insertKeySet,
  insertRooms,
  replaceKeys,
  type RoomChange,
  type Storage,
} from './key-rows.js';
import type { DeletedFrom, KeptDeletions } from './kept-deletions.js';
import {
  findRanks,
  type RowVersion,
  type StoredRank,
  type UploadSnapshot,
} from './stored-ranks.js';

/**
 * A backup that no other transaction can change until the transaction ends: keys are written and removed through this
 * class only, so that none is without the lock, and none without a step of the etag.
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
  /** Of the rooms that were looked for, as far as they have one. */
  private readonly roomNumbers = new Map<string, number>();
  private readonly hashes = new Map<KeyId, string>();
  /** Changes of rooms to be written with the next etag. */
  private readonly roomChanges = new Map<string, RoomChange>();

  constructor(
    private readonly connection: Connection,
    private readonly storage: Storage,
    private readonly user: Buffer,
    row: Row,
    /** Undefined if deletions cannot be undone. */
    private readonly kept?: KeptDeletions,
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
  }

  /** Count and etag as they are, which no other transaction can change meanwhile. */
  get state(): KeysState {
    return { count: this.keyCount, etag: String(this.etag) };
  }

  /** 1 statement: bytes of all `session_data` in all backups of the user, which the lock keeps as they are. */
  async bytesOfUser(): Promise<number> {
    const [row] = await this.connection.rows(
      `SELECT COALESCE(SUM(byte_count), 0) AS bytes FROM ${this.storage.tables.backups} WHERE user_id = ?`,
      [this.user],
    );
    return Number(row?.bytes);
  }

  /** 1 statement, more for a large text. */
  async updateAuthData(authData: string): Promise<void> {
    const { connection, storage } = this;
    const which: [Buffer, number] = [this.user, this.versionId];
    await connection.defer(
      `UPDATE ${storage.tables.backups} SET auth_data = ? WHERE user_id = ? AND version = ?`,
      [authData.slice(0, connection.textLimits.perStatement), ...which],
    );
    await appendAuthData(connection, storage.tables, which, authData);
  }

  /**
   * 1 statement per 500 keys: the ranks of those among `keys` that are stored, in the order of
   * `keys`, undefined for those that are not. On the way it finds the numbers of their rooms.
   *
   * @param snapshot of the same keys: where nothing has changed since, it is the answer, with no statement
   */
  async ranks(
    keys: readonly KeyId[],
    snapshot?: UploadSnapshot,
  ): Promise<readonly (StoredRank | undefined)[]> {
    // a hash stays what it is
    for (const [key, hash] of snapshot?.hashes ?? []) this.hashes.set(key, hash);
    if (snapshot && this.isUnchanged(snapshot.rowVersion)) {
      for (const [roomId, roomNo] of snapshot.roomNumbers) this.roomNumbers.set(roomId, roomNo);
      return snapshot.ranks;
    }
    const { connection, storage, keySetId } = this;
    const hashes = keys.map((key) => this.hashOf(key));
    const found = await findRanks(connection, storage, keySetId, keys, hashes);
    for (const [roomId, roomNo] of found.roomNumbers) this.roomNumbers.set(roomId, roomNo);
    return found.ranks;
  }

  /**
   * 1 statement per 500 keys: adds the rows. A plain INSERT: it can never overwrite a key.
   *
   * @param keys whose ranks were asked for
   */
  async add(keys: readonly RoomKey[], deviceId: string | undefined): Promise<void> {
    if (keys.length === 0) return;
    const placed = keys.map((key) => {
      const seq = this.nextSeq++;
      let roomNo = this.roomNumbers.get(key.roomId);
      const isNew = roomNo === undefined;
      // the first key of a room gives it its number
      if (roomNo === undefined) this.roomNumbers.set(key.roomId, (roomNo = seq));
      this.changeRoom(key.roomId, { roomNo, isNew, keys: 1, bytes: key.sessionData.length });
      return { key, deviceId, hash: this.hashOf(key), roomNo, seq };
    });
    await insertKeys(this.connection, this.storage, this.keySetId, placed);
    for (const { sessionData } of keys) this.noteSize(sessionData.length);
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
    const { connection, storage, keySetId } = this;
    await insertKeys(connection, storage, keySetId, placed, replaceKeys(storage.dialect));
    for (const { key, stored } of keys) {
      const { roomNo, bytes: before } = stored.row;
      const growth = key.sessionData.length - before;
      this.changeRoom(key.roomId, { roomNo, isNew: false, keys: 0, bytes: growth });
      this.noteSize(key.sessionData.length);
    }
  }

  /**
   * 2 statements for all keys and 3 for a room, however many keys there are; 2 for a session. 1 more where that can
   * be undone, and 2 more for a session.
   *
   * @returns whether there was anything to remove
   */
  async remove(selection: KeySelection): Promise<boolean> {
    if (selection.roomId === undefined) return this.removeAll();
    if (selection.sessionId === undefined) return this.removeRoom(selection.roomId);
    return this.removeKey(selection);
  }

  /**
   * 1 statement, and those that write the counts of rooms: increments the etag; every change of the keys ends
   * with this.
   *
   * @param least what the etag is at least
   */
  async touch(least = 0): Promise<KeysState> {
    this.etag = Math.max(this.etag + 1, least);
    return this.write();
  }

  /**
   * 3 statements, 4 where it can be undone, however many keys there are: forgets the backup, retires its keys, and
   * makes the newest of those that are left the current one.
   */
  async delete(): Promise<void> {
    const { users, backups } = this.storage.tables;
    await this.kept?.backup(this.connection, this.place);
    await this.connection.defer(`DELETE FROM ${backups} WHERE user_id = ? AND version = ?`, [
      this.user,
      this.versionId,
    ]);
    await this.retireKeySet();
    await this.connection.defer(
      `UPDATE ${users} SET revision = revision + 1, current_version =
         (SELECT MAX(version) FROM ${backups} WHERE user_id = ?) WHERE user_id = ?`,
      [this.user, this.user],
    );
  }

  private async write(): Promise<KeysState> {
    const { connection, storage, roomChanges } = this;
    const { dialect, tables } = storage;
    const rooms = await insertRooms(connection, storage, this.keySetId, roomChanges);
    for (const { keys, bytes } of roomChanges.values()) {
      this.keyCount += keys;
      this.byteCount += bytes;
    }
    roomChanges.clear();
    const backup: TableUpdate = {
      table: tables.backups,
      alias: 'b',
      set: {
        etag: '?',
        key_count: '?',
        byte_count: '?',
        largest_key: '?',
        next_seq: '?',
        key_set_id: '?',
        changed_at: dialect.greatest('b.changed_at', dialect.now),
      },
      where: 'b.user_id = ? AND b.version = ?',
      parameters: [
        this.etag,
        this.keyCount,
        this.byteCount,
        this.largestKey,
        this.nextSeq,
        this.keySetId,
        this.user,
        this.versionId,
      ],
    };
    const last = rooms.pop();
    const updates = [...rooms.map((some) => dialect.update(some)), dialect.update(backup, last)];
    for (const [sql, parameters] of updates.flat()) await connection.defer(sql, parameters);
    return this.state;
  }

  private async removeAll(): Promise<boolean> {
    if (this.keyCount === 0) return false;
    await this.kept?.allKeys(this.connection, this.place, {
      keys: this.keyCount,
      bytes: this.byteCount,
      largestKey: this.largestKey,
    });
    await this.retireKeySet();
    this.keySetId = await insertKeySet(this.connection, this.storage, null);
    this.keyCount = 0;
    this.byteCount = 0;
    this.largestKey = 0;
    this.nextSeq = 0;
    return true;
  }

  /** The room loses its number, and its keys with that count no more; a later key of it gives it another. */
  private async removeRoom(roomId: string): Promise<boolean> {
    const { dialect, tables } = this.storage;
    const which = [this.keySetId, bytes(roomId)];
    const [room] = await this.connection.rows(
      `SELECT room_no, key_count, byte_count FROM ${tables.rooms} WHERE key_set_id = ? AND room_id = ?${asOfNow(this.connection, dialect)}`,
      which,
    );
    // A room without keys keeps its row: its number may just be given to a key on another node of a cluster,
    // and nothing that is changed here would meet with that.
    if (!room || Number(room.key_count) === 0) return false;
    const [keys, size] = [Number(room.key_count), Number(room.byte_count)];
    await this.retireRoom(Number(room.room_no), { roomId, kind: 'room', keys, bytes: size });
    await this.connection.defer(
      `DELETE FROM ${tables.rooms} WHERE key_set_id = ? AND room_id = ?`,
      which,
    );
    this.keyCount -= keys;
    this.byteCount -= size;
    return true;
  }

  private async removeKey(id: KeyId): Promise<boolean> {
    const [stored] = await this.ranks([id]);
    if (!stored) return false;
    const { roomNo, seq, bytes: size } = stored.row;
    const { keys } = this.storage.tables;
    const which = [this.keySetId, roomNo, seq];
    if (this.kept) {
      // a room of its own, which is deleted; its number as `seq` hides it from restores that are under way
      const own = this.nextSeq++;
      await this.connection.defer(
        `UPDATE ${keys} SET room_no = ?, seq = ? WHERE key_set_id = ? AND room_no = ? AND seq = ?`,
        [own, own, ...which],
      );
      await this.retireRoom(own, { roomId: id.roomId, kind: 'key', keys: 1, bytes: size });
    } else {
      await this.connection.defer(
        `DELETE FROM ${keys} WHERE key_set_id = ? AND room_no = ? AND seq = ?`,
        which,
      );
    }
    this.changeRoom(id.roomId, { roomNo, isNew: false, keys: -1, bytes: -size });
    return true;
  }

  private async retireKeySet(): Promise<void> {
    await this.connection.defer(
      `UPDATE ${this.storage.tables.keySets} SET retired_at = ${this.retiredAt} WHERE key_set_id = ?`,
      [this.keySetId],
    );
  }

  private async retireRoom(
    roomNo: number,
    room: { roomId: string; kind: 'room' | 'key'; keys: number; bytes: number },
  ): Promise<void> {
    await this.connection.defer(
      `INSERT INTO ${this.storage.tables.retiredRooms} (key_set_id, room_no, retired_at) VALUES (?, ?, ${this.retiredAt})`,
      [this.keySetId, roomNo],
    );
    const { keys, bytes, roomId, kind } = room;
    const size = { keys, bytes, largestKey: this.largestKey };
    await this.kept?.room(this.connection, this.place, { roomNo, roomId, kind }, size);
  }

  /** SQL: when keys deleted now will be removed. */
  private get retiredAt(): string {
    return this.kept?.until ?? this.storage.dialect.now;
  }

  private get place(): DeletedFrom {
    return { user: this.user, version: this.versionId, keySetId: this.keySetId };
  }

  private isUnchanged({ keySetId, etag, changedAt }: RowVersion): boolean {
    return keySetId === this.keySetId && etag === this.etag && changedAt === this.changedAt;
  }

  private hashOf(key: KeyId): string {
    let known = this.hashes.get(key);
    if (!known) this.hashes.set(key, (known = idHash(key)));
    return known;
  }

  private changeRoom(roomId: string, { roomNo, isNew, keys, bytes }: RoomChange): void {
    const change = this.roomChanges.get(roomId);
    if (!change) this.roomChanges.set(roomId, { roomNo, isNew, keys, bytes });
    else {
      change.keys += keys;
      change.bytes += bytes;
    }
  }

  private noteSize(size: number): void {
    this.largestKey = Math.max(this.largestKey, size);
  }
}
