import type { KeyId, KeySelection, KeysState, RoomKey } from '../room-key.js';
import type { Connection, Row } from './database/connection.js';
import { asOfNow } from './database/dialect.js';
import { bytes, idHash, text } from './rows.js';
import { BackupRow } from './backup-row.js';
import { appendAuthData } from './backup-rows.js';
import { insertKeys, insertKeySet, replaceKeys, type Storage } from './key-rows.js';
import type { KeptDeletions } from './kept-deletions.js';
import { findRanks, type StoredRank, type UploadSnapshot } from './stored-ranks.js';

/**
 * A backup that no other transaction can change until the transaction ends: keys are written and removed through this
 * class only, so that none is without the lock, and none without a step of the etag.
 */
export class LockedBackup {
  readonly algorithm: string;
  readonly version: string;
  private readonly row: BackupRow;
  /** Of the rooms that were looked for, as far as they have one. */
  private readonly roomNumbers = new Map<string, number>();
  private readonly hashes = new Map<KeyId, string>();

  constructor(
    private readonly connection: Connection,
    private readonly storage: Storage,
    user: Buffer,
    row: Row,
    /** Undefined if deletions cannot be undone. */
    private readonly kept?: KeptDeletions,
  ) {
    this.algorithm = text(row.algorithm);
    this.row = new BackupRow(user, row);
    this.version = String(this.row.version);
  }

  /** Count and etag as they are, which no other transaction can change meanwhile. */
  get state(): KeysState {
    return this.row.state;
  }

  /** 1 statement: bytes of all `session_data` in all backups of the user, which the lock keeps as they are. */
  async bytesOfUser(): Promise<number> {
    const [row] = await this.connection.rows(
      `SELECT COALESCE(SUM(byte_count), 0) AS bytes FROM ${this.storage.tables.backups} WHERE user_id = ?`,
      [this.row.user],
    );
    return Number(row?.bytes);
  }

  /** 1 statement, more for a large text. */
  async updateAuthData(authData: string): Promise<void> {
    const { connection, storage } = this;
    const { user, version } = this.row;
    await connection.defer(
      `UPDATE ${storage.tables.backups} SET auth_data = ? WHERE user_id = ? AND version = ?`,
      [authData.slice(0, connection.textLimits.perStatement), user, version],
    );
    await appendAuthData(connection, storage.tables, [user, version], authData);
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
    if (snapshot && this.row.is(snapshot.rowVersion)) {
      for (const [roomId, roomNo] of snapshot.roomNumbers) this.roomNumbers.set(roomId, roomNo);
      return snapshot.ranks;
    }
    const { connection, storage } = this;
    const hashes = keys.map((key) => this.hashOf(key));
    const found = await findRanks(connection, storage, this.row.keySetId, keys, hashes);
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
      const seq = this.row.takeSeq();
      let roomNo = this.roomNumbers.get(key.roomId);
      const isNew = roomNo === undefined;
      // the first key of a room gives it its number
      if (roomNo === undefined) this.roomNumbers.set(key.roomId, (roomNo = seq));
      this.row.changeRoom(key.roomId, { roomNo, isNew, keys: 1, bytes: key.sessionData.length });
      return { key, deviceId, hash: this.hashOf(key), roomNo, seq };
    });
    await insertKeys(this.connection, this.storage, this.row.keySetId, placed);
    for (const { sessionData } of keys) this.row.noteSize(sessionData);
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
    const { connection, storage, row } = this;
    await insertKeys(connection, storage, row.keySetId, placed, replaceKeys(storage.dialect));
    for (const { key, stored } of keys) {
      const { roomNo, bytes: before } = stored.row;
      const growth = key.sessionData.length - before;
      this.row.changeRoom(key.roomId, { roomNo, isNew: false, keys: 0, bytes: growth });
      row.noteSize(key.sessionData);
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
   * Increments the etag, as {@link BackupRow.write} does; every change of the keys ends with this.
   *
   * @param least what the etag is at least
   */
  touch(least = 0): Promise<KeysState> {
    return this.row.write(this.connection, this.storage, least);
  }

  /**
   * 3 statements, 4 where it can be undone, however many keys there are: forgets the backup, retires its keys, and
   * makes the newest of those that are left the current one.
   */
  async delete(): Promise<void> {
    const { users, backups } = this.storage.tables;
    await this.kept?.backup(this.connection, this.row.place);
    await this.connection.defer(`DELETE FROM ${backups} WHERE user_id = ? AND version = ?`, [
      this.row.user,
      this.row.version,
    ]);
    await this.retireKeySet();
    await this.connection.defer(
      `UPDATE ${users} SET revision = revision + 1, current_version =
         (SELECT MAX(version) FROM ${backups} WHERE user_id = ?) WHERE user_id = ?`,
      [this.row.user, this.row.user],
    );
  }

  private async removeAll(): Promise<boolean> {
    const { connection, row, storage } = this;
    if (row.size.keys === 0) return false;
    await this.kept?.allKeys(connection, this.row.place, row.size);
    await this.retireKeySet();
    row.empty(await insertKeySet(connection, storage, null));
    return true;
  }

  /** The room loses its number, and its keys with that count no more; a later key of it gives it another. */
  private async removeRoom(roomId: string): Promise<boolean> {
    const { dialect, tables } = this.storage;
    const which = [this.row.keySetId, bytes(roomId)];
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
    this.row.subtract(keys, size);
    return true;
  }

  private async removeKey(id: KeyId): Promise<boolean> {
    const [stored] = await this.ranks([id]);
    if (!stored) return false;
    const { roomNo, seq, bytes: size } = stored.row;
    const { keys } = this.storage.tables;
    const which = [this.row.keySetId, roomNo, seq];
    if (this.kept) {
      // a room of its own, which is deleted; its number as `seq` hides it from restores that are under way
      const own = this.row.takeSeq();
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
    this.row.changeRoom(id.roomId, { roomNo, isNew: false, keys: -1, bytes: -size });
    return true;
  }

  private async retireKeySet(): Promise<void> {
    await this.connection.defer(
      `UPDATE ${this.storage.tables.keySets} SET retired_at = ${this.retiredAt} WHERE key_set_id = ?`,
      [this.row.keySetId],
    );
  }

  private async retireRoom(
    roomNo: number,
    room: { roomId: string; kind: 'room' | 'key'; keys: number; bytes: number },
  ): Promise<void> {
    await this.connection.defer(
      `INSERT INTO ${this.storage.tables.retiredRooms} (key_set_id, room_no, retired_at) VALUES (?, ?, ${this.retiredAt})`,
      [this.row.keySetId, roomNo],
    );
    const { keys, bytes, roomId, kind } = room;
    const size = { keys, bytes, largestKey: this.row.size.largestKey };
    await this.kept?.room(this.connection, this.row.place, { roomNo, roomId, kind }, size);
  }

  /** SQL: when keys deleted now will be removed. */
  private get retiredAt(): string {
    return this.kept?.until ?? this.storage.dialect.now;
  }

  private hashOf(key: KeyId): string {
    let known = this.hashes.get(key);
    if (!known) this.hashes.set(key, (known = idHash(key)));
    return known;
  }
}
