import type { Connection as CallbackConnection } from 'mysql2';
import mysql from 'mysql2/promise';
import type { RowDataPacket } from 'mysql2/promise';
import { type BackupUnderTest, check, type Contestant, type RestoreTimes } from './contestant.js';
import type { Key, KeySource } from './keys.js';

/** The table that comes to mind first: keys under their ids, and no more. */
const CREATE_KEYS = `CREATE TABLE IF NOT EXISTS floor_keys (
  user_id varbinary(255) NOT NULL,
  version bigint NOT NULL,
  room_id varbinary(255) NOT NULL,
  session_id varbinary(255) NOT NULL,
  first_message_index bigint NOT NULL,
  forwarded_count bigint NOT NULL,
  is_verified tinyint NOT NULL,
  session_data longtext NOT NULL,
  PRIMARY KEY (user_id, version, room_id, session_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC`;

const CREATE_BACKUPS = `CREATE TABLE IF NOT EXISTS floor_backups (
  user_id varbinary(255) NOT NULL,
  version bigint NOT NULL,
  algorithm varbinary(255) NOT NULL,
  auth_data longtext NOT NULL,
  PRIMARY KEY (user_id, version)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC`;

/**
 * What the database itself takes: the same rows through the bare driver, from this process, one
 * transaction per batch, with the database's own durability. It checks no token, compares no key, keeps
 * no count and no etag.
 */
export class MysqlFloor implements Contestant {
  readonly name = 'floor';
  private readonly connections = new Map<number, mysql.Connection>();
  private versions = 0;

  private constructor(private readonly url: string) {}

  /** @param url of a database that is there */
  static async create(url: string): Promise<MysqlFloor> {
    const connection = await mysql.createConnection(url);
    await connection.query(CREATE_KEYS);
    await connection.query(CREATE_BACKUPS);
    await connection.end();
    return new MysqlFloor(url);
  }

  async createBackup(user: number): Promise<BackupUnderTest> {
    let connection = this.connections.get(user);
    if (!connection) {
      this.connections.set(user, (connection = await mysql.createConnection(this.url)));
    }
    const userId = Buffer.from(`@bench${user}:hs1`);
    const version = ++this.versions;
    await connection.query('INSERT INTO floor_backups VALUES (?)', [
      [userId, version, 'algorithm', '{"public_key":"abc"}'],
    ]);
    return new MysqlFloorBackup(connection, userId, version);
  }

  async close(): Promise<void> {
    for (const connection of this.connections.values()) await connection.end();
  }
}

class MysqlFloorBackup implements BackupUnderTest {
  private count = 0;

  constructor(
    private readonly connection: mysql.Connection,
    private readonly userId: Buffer,
    private readonly version: number,
  ) {}

  async store(keys: readonly Key[], effect: 'added' | 'replaced' | 'none'): Promise<number> {
    const rows = keys.map((key) => [
      this.userId,
      this.version,
      Buffer.from(key.roomId),
      Buffer.from(key.sessionId),
      key.firstMessageIndex,
      0,
      0,
      JSON.stringify(key.sessionData),
    ]);
    const begun = performance.now();
    await this.connection.query('START TRANSACTION');
    if (effect === 'none') {
      const [found] = await this.connection.query<RowDataPacket[]>(
        `SELECT room_id, session_id, first_message_index, forwarded_count, is_verified FROM floor_keys
         WHERE user_id = ? AND version = ? AND (room_id, session_id) IN (?)`,
        [this.userId, this.version, rows.map(([, , room, session]) => [room, session])],
      );
      check(found.length === keys.length, () => 'the floor does not find what it stored');
    } else {
      await this.connection.query(
        `INSERT INTO floor_keys VALUES ?${
          effect === 'added'
            ? ''
            : ' ON DUPLICATE KEY UPDATE first_message_index = VALUES(first_message_index), forwarded_count = VALUES(forwarded_count), is_verified = VALUES(is_verified), session_data = VALUES(session_data)'
        }`,
        [rows],
      );
    }
    await this.connection.query('COMMIT');
    if (effect === 'added') this.count += keys.length;
    return performance.now() - begun;
  }

  async readKey(key: Key): Promise<number> {
    const begun = performance.now();
    const [[row]] = await this.connection.query<RowDataPacket[]>(
      `SELECT first_message_index, forwarded_count, is_verified, session_data FROM floor_keys
       WHERE user_id = ? AND version = ? AND room_id = ? AND session_id = ?`,
      [this.userId, this.version, Buffer.from(key.roomId), Buffer.from(key.sessionId)],
    );
    const ms = performance.now() - begun;
    check(row !== undefined, () => 'the floor does not find a key');
    return ms;
  }

  async readRoom(keys: readonly Key[]): Promise<number> {
    const begun = performance.now();
    const [rows] = await this.connection.query<RowDataPacket[]>(
      `SELECT session_id, first_message_index, forwarded_count, is_verified, session_data
       FROM floor_keys WHERE user_id = ? AND version = ? AND room_id = ?`,
      [this.userId, this.version, Buffer.from(keys[0]?.roomId ?? '')],
    );
    const ms = performance.now() - begun;
    check(rows.length === keys.length, () => 'the floor does not find the keys of a room');
    return ms;
  }

  async readInformation(): Promise<number> {
    const begun = performance.now();
    const [[row]] = await this.connection.query<RowDataPacket[]>(
      'SELECT algorithm, auth_data FROM floor_backups WHERE user_id = ? AND version = ?',
      [this.userId, this.version],
    );
    const ms = performance.now() - begun;
    check(row !== undefined, () => 'the floor does not find a backup');
    return ms;
  }

  readAll(_source: KeySource, _better: number): Promise<RestoreTimes> {
    // mysql2's promises have no streams of rows
    const { connection } = this.connection as unknown as {
      connection: CallbackConnection;
    };
    return new Promise((resolve, reject) => {
      const begun = performance.now();
      let firstByteMs = NaN;
      let rows = 0;
      connection
        .query(
          `SELECT room_id, session_id, first_message_index, forwarded_count, is_verified, session_data
           FROM floor_keys WHERE user_id = ? AND version = ?`,
          [this.userId, this.version],
        )
        .on('error', reject)
        .on('result', () => {
          if (rows++ === 0) firstByteMs = performance.now() - begun;
        })
        .on('end', () => {
          const ms = performance.now() - begun;
          if (rows === this.count) resolve({ ms, firstByteMs });
          else reject(new Error(`the floor found ${rows} of ${this.count} keys`));
        });
    });
  }

  async deleteKeys(): Promise<number> {
    const begun = performance.now();
    await this.connection.query('DELETE FROM floor_keys WHERE user_id = ? AND version = ?', [
      this.userId,
      this.version,
    ]);
    this.count = 0;
    return performance.now() - begun;
  }

  async delete(): Promise<number> {
    const begun = performance.now();
    await this.deleteKeys();
    await this.connection.query('DELETE FROM floor_backups WHERE user_id = ? AND version = ?', [
      this.userId,
      this.version,
    ]);
    return performance.now() - begun;
  }
}
