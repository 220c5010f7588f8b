import type { Connection } from './database/connection.js';
import { type Database, THE_SERVER } from './database/database.js';
import { idHash, type KeyOfDevice } from './rows.js';
import { insertKeys, insertKeySet, insertRooms, type RoomChange } from './key-rows.js';

/** How long the keys of an import that was killed stay, by the database's clock; one that goes on puts it off. */
const LEASE_MS = 60 * 60 * 1000;
const RENEW_BELOW_MS = 50 * 60 * 1000;

/**
 * A key set that is being filled. No backup has it, so no reader sees it, and until one does it waits
 * to be removed: whatever becomes of an import, nothing of it stays behind.
 */
export class StagedKeySet {
  keyCount = 0;
  byteCount = 0;
  largestKey = 0;
  nextSeq = 0;
  private readonly roomNumbers = new Map<string, number>();

  /** 3 statements. */
  static async create(database: Database): Promise<StagedKeySet> {
    const { dialect } = database;
    const keySetId = await database.change(THE_SERVER, (connection) =>
      insertKeySet(connection, database, `${dialect.now} + ${LEASE_MS}`),
    );
    return new StagedKeySet(database, keySetId);
  }

  private constructor(
    private readonly database: Database,
    readonly keySetId: number,
  ) {}

  /** 5 statements, and more for more than 500 keys; locks the set, so that it is not removed meanwhile. */
  async add(keys: readonly KeyOfDevice[]): Promise<void> {
    if (keys.length === 0) return;
    const { database, keySetId } = this;
    const rooms = new Map<string, RoomChange>();
    const placed = keys.map((key, index) => {
      const seq = this.nextSeq + index;
      const known = this.roomNumbers.get(key.roomId);
      const room = rooms.get(key.roomId) ?? {
        roomNo: known ?? seq,
        isNew: known === undefined,
        keys: 0,
        bytes: 0,
      };
      room.keys += 1;
      room.bytes += key.sessionData.length;
      rooms.set(key.roomId, room);
      return { key, deviceId: key.deviceId, hash: idHash(key), roomNo: room.roomNo, seq };
    });
    await database.change(THE_SERVER, async (connection) => {
      await this.lock(connection);
      for (const update of await insertRooms(connection, database, keySetId, rooms)) {
        for (const [sql, parameters] of database.dialect.update(update)) {
          await connection.defer(sql, parameters);
        }
      }
      // a source may give a key twice, pages apart: then the checksum of that backup is not right
      await insertKeys(connection, database, keySetId, placed, database.dialect.skipExisting);
    });
    for (const [roomId, { roomNo }] of rooms) this.roomNumbers.set(roomId, roomNo);
    this.nextSeq += keys.length;
    this.keyCount += keys.length;
    for (const { sessionData } of keys) {
      this.byteCount += sessionData.length;
      this.largestKey = Math.max(this.largestKey, sessionData.length);
    }
  }

  /** 2 statements: it belongs to a backup from now on. */
  async release(connection: Connection): Promise<void> {
    await this.lock(connection);
    await this.setRetiredAt(connection, 'NULL');
  }

  /** 3 statements: it is not needed, and may be removed at once. Does nothing to one that a backup has. */
  async discard(): Promise<void> {
    const { dialect, tables } = this.database;
    await this.database.change(THE_SERVER, (connection) =>
      connection.execute(
        `UPDATE ${tables.keySets} SET retired_at = ${dialect.now} WHERE key_set_id = ? AND retired_at IS NOT NULL`,
        [this.keySetId],
      ),
    );
  }

  /** 1 statement, once in ten minutes 2: nothing removes the set while it is locked. */
  private async lock(connection: Connection): Promise<void> {
    const { dialect, tables } = this.database;
    const [row] = await connection.rows(
      `SELECT retired_at - ${dialect.now} AS left_ms FROM ${tables.keySets} WHERE key_set_id = ?${dialect.forUpdate}`,
      [this.keySetId],
    );
    const leftMs = Number(row?.left_ms ?? 0);
    if (leftMs <= 0) {
      throw new Error(
        'The import was suspended for so long that its keys may have been removed. Run it again.',
      );
    }
    if (leftMs < RENEW_BELOW_MS) {
      await this.setRetiredAt(connection, `${dialect.now} + ${LEASE_MS}`);
    }
  }

  private async setRetiredAt(connection: Connection, value: string): Promise<void> {
    await connection.execute(
      `UPDATE ${this.database.tables.keySets} SET retired_at = ${value} WHERE key_set_id = ?`,
      [this.keySetId],
    );
  }
}
