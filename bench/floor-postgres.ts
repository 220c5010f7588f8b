import pg from 'pg';
import { type BackupUnderTest, check, type Contestant, type RestoreTimes } from './contestant.js';
import type { Key, KeySource } from './keys.js';

const CREATE = `
  CREATE TABLE IF NOT EXISTS floor_keys (
    user_id text NOT NULL,
    version bigint NOT NULL,
    room_id text NOT NULL,
    session_id text NOT NULL,
    first_message_index bigint NOT NULL,
    forwarded_count bigint NOT NULL,
    is_verified boolean NOT NULL,
    session_data text NOT NULL,
    PRIMARY KEY (user_id, version, room_id, session_id)
  );
  CREATE TABLE IF NOT EXISTS floor_backups (
    user_id text NOT NULL,
    version bigint NOT NULL,
    algorithm text NOT NULL,
    auth_data text NOT NULL,
    PRIMARY KEY (user_id, version)
  )`;

/** Rows of a restore that are asked for at once: 250 kB, as our server does. */
const ROWS_AT_ONCE = 300;

/**
 * What the database itself takes, as {@link MysqlFloor} does for MySQL: the table that comes to mind first, and
 * the driver's own parameters. Values as literals, or as arrays for `unnest`, take it as long, within a tenth.
 */
export class PostgresFloor implements Contestant {
  readonly name = 'floor';
  private readonly clients = new Map<number, pg.Client>();
  private versions = 0;

  private constructor(private readonly url: string) {}

  /** @param url of a database that is there */
  static async create(url: string): Promise<PostgresFloor> {
    const floor = new PostgresFloor(url);
    await (await floor.client(0)).query(CREATE);
    return floor;
  }

  async createBackup(user: number): Promise<BackupUnderTest> {
    const client = await this.client(user);
    const userId = `@bench${user}:hs1`;
    const version = ++this.versions;
    await client.query('INSERT INTO floor_backups VALUES ($1, $2, $3, $4)', [
      userId,
      version,
      'algorithm',
      '{"public_key":"abc"}',
    ]);
    return new PostgresFloorBackup(client, userId, version);
  }

  async close(): Promise<void> {
    for (const client of this.clients.values()) await client.end();
  }

  private async client(user: number): Promise<pg.Client> {
    let client = this.clients.get(user);
    if (!client) {
      client = new pg.Client(this.url);
      await client.connect();
      this.clients.set(user, client);
    }
    return client;
  }
}

class PostgresFloorBackup implements BackupUnderTest {
  private count = 0;

  constructor(
    private readonly client: pg.Client,
    private readonly userId: string,
    private readonly version: number,
  ) {}

  async store(keys: readonly Key[], effect: 'added' | 'replaced' | 'none'): Promise<number> {
    const backup = [this.userId, this.version];
    const rows = keys.map((key) => [
      key.roomId,
      key.sessionId,
      key.firstMessageIndex,
      0,
      false,
      JSON.stringify(key.sessionData),
    ]);
    const begun = performance.now();
    await this.client.query('BEGIN');
    if (effect === 'none') {
      const ids = rows.map(([roomId, sessionId]) => [roomId, sessionId]);
      const { rowCount } = await this.client.query(
        `SELECT room_id, session_id, first_message_index, forwarded_count, is_verified FROM floor_keys
         WHERE user_id = $1 AND version = $2 AND (room_id, session_id) IN (${placeholders(ids, 2)})`,
        [...backup, ...ids.flat()],
      );
      check(rowCount === keys.length, () => 'the floor does not find what it stored');
    } else {
      await this.client.query(
        `INSERT INTO floor_keys SELECT $1, $2, room, session, first_index::bigint, forwarded::bigint, verified::boolean, data
         FROM (VALUES ${placeholders(rows, 2)}) AS given (room, session, first_index, forwarded, verified, data)${
           effect === 'added'
             ? ''
             : ` ON CONFLICT (user_id, version, room_id, session_id) DO UPDATE SET
                first_message_index = excluded.first_message_index, forwarded_count = excluded.forwarded_count,
                is_verified = excluded.is_verified, session_data = excluded.session_data`
         }`,
        [...backup, ...rows.flat()],
      );
    }
    await this.client.query('COMMIT');
    if (effect === 'added') this.count += keys.length;
    return performance.now() - begun;
  }

  async readKey(key: Key): Promise<number> {
    const begun = performance.now();
    const { rowCount } = await this.client.query(
      `SELECT first_message_index, forwarded_count, is_verified, session_data FROM floor_keys
       WHERE user_id = $1 AND version = $2 AND room_id = $3 AND session_id = $4`,
      [this.userId, this.version, key.roomId, key.sessionId],
    );
    const ms = performance.now() - begun;
    check(rowCount === 1, () => 'the floor does not find a key');
    return ms;
  }

  async readRoom(keys: readonly Key[]): Promise<number> {
    const begun = performance.now();
    const { rowCount } = await this.client.query(
      `SELECT session_id, first_message_index, forwarded_count, is_verified, session_data
       FROM floor_keys WHERE user_id = $1 AND version = $2 AND room_id = $3`,
      [this.userId, this.version, keys[0]?.roomId],
    );
    const ms = performance.now() - begun;
    check(rowCount === keys.length, () => 'the floor does not find the keys of a room');
    return ms;
  }

  async readInformation(): Promise<number> {
    const begun = performance.now();
    const { rowCount } = await this.client.query(
      'SELECT algorithm, auth_data FROM floor_backups WHERE user_id = $1 AND version = $2',
      [this.userId, this.version],
    );
    const ms = performance.now() - begun;
    check(rowCount === 1, () => 'the floor does not find a backup');
    return ms;
  }

  /** By a cursor: the driver itself has no streams of rows. */
  async readAll(_source: KeySource, _better: number): Promise<RestoreTimes> {
    const begun = performance.now();
    await this.client.query('BEGIN');
    await this.client.query({
      text: `DECLARE restore NO SCROLL CURSOR FOR
        SELECT room_id, session_id, first_message_index, forwarded_count, is_verified, session_data
        FROM floor_keys WHERE user_id = '${this.userId}' AND version = ${this.version}`,
    });
    let firstByteMs = NaN;
    let rows = 0;
    for (let found = 1; found > 0; rows += found) {
      const answer = await this.client.query(`FETCH ${ROWS_AT_ONCE} FROM restore`);
      found = answer.rows.length;
      if (rows === 0) firstByteMs = performance.now() - begun;
    }
    await this.client.query('COMMIT');
    const ms = performance.now() - begun;
    check(rows === this.count, () => `the floor found ${rows} of ${this.count} keys`);
    return { ms, firstByteMs };
  }

  async deleteKeys(): Promise<number> {
    const begun = performance.now();
    await this.client.query('DELETE FROM floor_keys WHERE user_id = $1 AND version = $2', [
      this.userId,
      this.version,
    ]);
    this.count = 0;
    return performance.now() - begun;
  }

  async delete(): Promise<number> {
    const begun = performance.now();
    await this.deleteKeys();
    await this.client.query('DELETE FROM floor_backups WHERE user_id = $1 AND version = $2', [
      this.userId,
      this.version,
    ]);
    return performance.now() - begun;
  }
}

/** `($3, $4), ($5, $6)` for rows of two values after two others. */
function placeholders(rows: readonly (readonly unknown[])[], before: number): string {
  let last = before;
  return rows.map((row) => `(${row.map(() => `$${(last += 1)}`).join()})`).join();
}
