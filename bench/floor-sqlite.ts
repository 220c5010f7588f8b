import Database from 'better-sqlite3';
import { type BackupUnderTest, check, type Contestant, type RestoreTimes } from './contestant.js';
import type { Key, KeySource } from './keys.js';

const CREATE = `
  CREATE TABLE floor_keys (
    user_id text NOT NULL,
    version integer NOT NULL,
    room_id text NOT NULL,
    session_id text NOT NULL,
    first_message_index integer NOT NULL,
    forwarded_count integer NOT NULL,
    is_verified integer NOT NULL,
    session_data text NOT NULL,
    PRIMARY KEY (user_id, version, room_id, session_id)
  );
  CREATE TABLE floor_backups (
    user_id text NOT NULL,
    version integer NOT NULL,
    algorithm text NOT NULL,
    auth_data text NOT NULL,
    PRIMARY KEY (user_id, version)
  )`;

/**
 * What the database itself takes, as {@link MysqlFloor} does for MySQL: SQLite in this very process,
 * with a write-ahead log that is flushed at each commit, and prepared statements.
 */
export class SqliteFloor implements Contestant {
  readonly name = 'floor';
  private readonly database: Database.Database;
  private versions = 0;

  /** @param file that is not there yet */
  constructor(file: string) {
    this.database = new Database(file);
    this.database.pragma('journal_mode = WAL');
    this.database.pragma('synchronous = FULL');
    this.database.exec(CREATE);
  }

  createBackup(user: number): Promise<BackupUnderTest> {
    const userId = `@bench${user}:hs1`;
    const version = ++this.versions;
    this.database
      .prepare('INSERT INTO floor_backups VALUES (?, ?, ?, ?)')
      .run(userId, version, 'algorithm', '{"public_key":"abc"}');
    return Promise.resolve(new SqliteFloorBackup(this.database, userId, version));
  }

  close(): Promise<void> {
    this.database.close();
    return Promise.resolve();
  }
}

class SqliteFloorBackup implements BackupUnderTest {
  private count = 0;
  private readonly statements;

  constructor(
    private readonly database: Database.Database,
    private readonly userId: string,
    private readonly version: number,
  ) {
    const ofBackup = 'WHERE user_id = ? AND version = ?';
    const columns = 'first_message_index, forwarded_count, is_verified, session_data';
    this.statements = {
      insert: database.prepare('INSERT INTO floor_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?)'),
      replace: database.prepare(
        'INSERT OR REPLACE INTO floor_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      ),
      key: database.prepare(
        `SELECT ${columns} FROM floor_keys ${ofBackup} AND room_id = ? AND session_id = ?`,
      ),
      room: database.prepare(
        `SELECT session_id, ${columns} FROM floor_keys ${ofBackup} AND room_id = ?`,
      ),
      all: database.prepare(`SELECT room_id, session_id, ${columns} FROM floor_keys ${ofBackup}`),
      information: database.prepare(`SELECT algorithm, auth_data FROM floor_backups ${ofBackup}`),
      deleteKeys: database.prepare(`DELETE FROM floor_keys ${ofBackup}`),
      delete: database.prepare(`DELETE FROM floor_backups ${ofBackup}`),
    };
  }

  store(keys: readonly Key[], effect: 'added' | 'replaced' | 'none'): Promise<number> {
    const { key, insert, replace } = this.statements;
    const rows = keys.map(({ roomId, sessionId, firstMessageIndex, sessionData }) => [
      ...[this.userId, this.version, roomId, sessionId, firstMessageIndex, 0, 0],
      JSON.stringify(sessionData),
    ]);
    return this.timed(() => {
      this.database.transaction(() => {
        for (const row of rows) {
          if (effect === 'none') {
            check(key.get(...row.slice(0, 4)) !== undefined, () => 'the floor lost a key');
          } else (effect === 'added' ? insert : replace).run(...row);
        }
      })();
      if (effect === 'added') this.count += keys.length;
    });
  }

  readKey({ roomId, sessionId }: Key): Promise<number> {
    return this.timed(() => {
      const row = this.statements.key.get(this.userId, this.version, roomId, sessionId);
      check(row !== undefined, () => 'the floor does not find a key');
    });
  }

  readRoom(keys: readonly Key[]): Promise<number> {
    return this.timed(() => {
      const rows = this.statements.room.all(this.userId, this.version, keys[0]?.roomId);
      check(rows.length === keys.length, () => 'the floor does not find the keys of a room');
    });
  }

  readInformation(): Promise<number> {
    return this.timed(() => {
      const row = this.statements.information.get(this.userId, this.version);
      check(row !== undefined, () => 'the floor does not find a backup');
    });
  }

  async readAll(_source: KeySource, _better: number): Promise<RestoreTimes> {
    let firstByteMs = NaN;
    let rows = 0;
    const begun = performance.now();
    const ms = await this.timed(() => {
      const all = this.statements.all.iterate(this.userId, this.version);
      while (!all.next().done) {
        if (rows++ === 0) firstByteMs = performance.now() - begun;
      }
    });
    check(rows === this.count, () => `the floor found ${rows} of ${this.count} keys`);
    return { ms, firstByteMs };
  }

  deleteKeys(): Promise<number> {
    return this.timed(() => {
      this.statements.deleteKeys.run(this.userId, this.version);
      this.count = 0;
    });
  }

  async delete(): Promise<number> {
    const keys = await this.deleteKeys();
    return keys + (await this.timed(() => this.statements.delete.run(this.userId, this.version)));
  }

  private timed(work: () => void): Promise<number> {
    const begun = performance.now();
    work();
    return Promise.resolve(performance.now() - begun);
  }
}
