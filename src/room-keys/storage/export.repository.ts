/** The SQL of exports: users with all of their keys. */
import type { DataSource } from 'typeorm';
import { Database, THE_SERVER } from './database/database.js';
import {
  KeySetPages,
  positionOf,
  type Query,
  queryOf,
  readRooms,
  roomOf,
  rowsPerPage,
  START,
} from './key-set-pages.js';
import { asKeyOfDevice, bytes, KEY_COLUMNS, type KeyOfDevice, text } from './rows.js';
import { readStoredUsers, type StoredBackup, type StoredUser } from './stored-users.js';

const BYTES_PER_PAGE = 2 * 1024 * 1024;
const ROWS_PER_PAGE = 1000;

/** Reads on behalf of exports, and what an import has stored. */
export class ExportRepository {
  private readonly database: Database;

  constructor(dataSource: DataSource) {
    this.database = Database.of(dataSource);
  }

  /** 1 statement, no lock: ids of users after one, in order. */
  async userIds(after: string | undefined, limit: number): Promise<string[]> {
    const found = await this.database.rows(
      THE_SERVER,
      `SELECT user_id FROM ${this.database.tables.users} ${after === undefined ? '' : 'WHERE user_id > ?'}
       ORDER BY user_id LIMIT ${limit}`,
      after === undefined ? [] : [bytes(after)],
    );
    return found.map((row) => text(row.user_id));
  }

  /** 2 statements, no lock: of all users, or of one. */
  async totals(userId: string | undefined): Promise<{ users: number; keys: number }> {
    const { tables } = this.database;
    const where = userId === undefined ? '' : ' WHERE user_id = ?';
    const parameters = userId === undefined ? [] : [bytes(userId)];
    const [users] = await this.database.rows(
      THE_SERVER,
      `SELECT COUNT(*) AS count FROM ${tables.users}${where}`,
      parameters,
    );
    const [keys] = await this.database.rows(
      THE_SERVER,
      `SELECT SUM(key_count) AS count FROM ${tables.backups}${where}`,
      parameters,
    );
    return { users: Number(users?.count), keys: Number(keys?.count ?? 0) };
  }

  /** 5 statements and 1 per page, no lock: a user with all keys of each backup, in one consistent snapshot. */
  async *userWithKeys(
    userId: string,
  ): AsyncGenerator<{ user: StoredUser } | { backup: StoredBackup } | { keys: KeyOfDevice[] }> {
    const snapshot = await this.database.snapshot();
    const query = queryOf(snapshot);
    try {
      const user = (await readStoredUsers(query, this.database, [bytes(userId)])).get(userId);
      if (!user) return;
      yield { user };
      for (const backup of user.backups) {
        yield { backup };
        for await (const keys of this.pages(query, backup.keySetId, backup.largestKey)) {
          yield { keys };
        }
      }
    } finally {
      await snapshot.close();
    }
  }

  /** 3 statements and 1 per page, no lock: all keys of a set, in one consistent snapshot. */
  async *keysOf(keySetId: number, largestKey: number): AsyncGenerator<KeyOfDevice[]> {
    const snapshot = await this.database.snapshot();
    try {
      yield* this.pages(queryOf(snapshot), keySetId, largestKey);
    } finally {
      await snapshot.close();
    }
  }

  private async *pages(
    query: Query,
    keySetId: number,
    largestKey: number,
  ): AsyncGenerator<KeyOfDevice[]> {
    const rooms = await readRooms(query, this.database, keySetId);
    const pages = new KeySetPages(this.database, keySetId, rooms, KEY_COLUMNS);
    const limit = rowsPerPage(ROWS_PER_PAGE, BYTES_PER_PAGE, largestKey);
    for (let after = START; ;) {
      const page = await pages.page(query, after, limit);
      const last = page.at(-1);
      if (!last) return;
      yield page.map((row) => asKeyOfDevice(row, roomOf(Number(row.room_no), rooms)));
      if (page.length < limit) return;
      after = positionOf(last);
    }
  }
}
