/** The SQL of two homeservers, to read their backups. */
import type { Row } from '../../room-keys/storage/database/connection.js';
import { rowsPerPage } from '../../room-keys/storage/key-set-pages.js';
import {
  type BackupSource,
  type OpenSourceUser,
  type OrphanedKeys,
  type SourceBackup,
  SourceError,
  type SourceKey,
  type SourceUser,
} from './backup-source.js';
import { openSourceDatabase, type SourceDatabase } from './source-database.js';

const USERS_PER_PAGE = 200;
const ROWS_PER_PAGE = 1000;
/** Memory that one page of keys may take. */
const BYTES_PER_PAGE = 4 * 1024 * 1024;

/** A homeserver whose tables are known. */
export type HomeserverKind = 'synapse' | 'dendrite';

/** Names of tables, newest first: Dendrite has renamed its own. */
const TABLES: Readonly<Record<HomeserverKind, readonly { versions: string; keys: string }[]>> = {
  synapse: [{ versions: 'e2e_room_keys_versions', keys: 'e2e_room_keys' }],
  dendrite: [
    { versions: 'userapi_key_backup_versions', keys: 'userapi_key_backups' },
    { versions: 'account_e2e_room_keys_versions', keys: 'account_e2e_room_keys' },
  ],
};

/**
 * The backups of a homeserver that may be running. Each user is read in a consistent snapshot, which on PostgreSQL
 * takes no lock that a writer would wait for.
 */
export class HomeserverSource implements BackupSource {
  private constructor(
    private readonly database: SourceDatabase,
    private readonly tables: { versions: string; keys: string },
    /** Dendrite's keys hold their version as text. */
    private readonly keysHoldText: boolean,
  ) {}

  /** @throws SourceError where the database, or its tables, cannot be read */
  static async open(kind: HomeserverKind, from: string): Promise<HomeserverSource> {
    const database = await openSourceDatabase(from);
    try {
      let missing: unknown;
      for (const tables of TABLES[kind]) {
        try {
          await database.query(`SELECT 1 FROM ${tables.versions} LIMIT 1`);
          await database.query(`SELECT 1 FROM ${tables.keys} LIMIT 1`);
          return new HomeserverSource(database, tables, kind === 'dendrite');
        } catch (error) {
          missing ??= error;
        }
      }
      throw missing instanceof Error ? missing : new SourceError('The source cannot be read.');
    } catch (error) {
      await database.close();
      throw error;
    }
  }

  async totals(userId: string | undefined): Promise<{ users: number; keys: number }> {
    const [where, parameters] = userId === undefined ? ['', []] : [' WHERE user_id = ?', [userId]];
    const [users] = await this.database.query(
      `SELECT COUNT(DISTINCT user_id) AS count FROM ${this.tables.versions}${where}`,
      parameters,
    );
    const [keys] = await this.database.query(
      `SELECT COUNT(*) AS count FROM ${this.tables.keys}${where}`,
      parameters,
    );
    return { users: Number(users?.count), keys: Number(keys?.count) };
  }

  async *users(userId: string | undefined): AsyncGenerator<SourceUser[]> {
    if (userId !== undefined) {
      yield await this.read([userId]);
      return;
    }
    for (let after: unknown; ;) {
      const ids: Row[] = await this.database.query(
        `SELECT DISTINCT user_id FROM ${this.tables.versions}
         ${after === undefined ? '' : 'WHERE user_id > ?'} ORDER BY user_id LIMIT ${USERS_PER_PAGE}`,
        after === undefined ? [] : [after],
      );
      if (ids.length === 0) return;
      yield await this.read(ids.map((row) => row.user_id));
      after = ids.at(-1)?.user_id;
    }
  }

  /** 1 statement, which reads an index of the keys once. */
  async orphanedKeys(userId: string | undefined): Promise<OrphanedKeys[]> {
    const [where, parameters] = userId === undefined ? ['', []] : ['WHERE user_id = ?', [userId]];
    const { versions, keys } = this.tables;
    const found = await this.database.query(
      `SELECT k.user_id, k.version, k.count
       FROM (SELECT user_id, version, COUNT(*) AS count FROM ${keys} ${where} GROUP BY user_id, version) k
       LEFT JOIN ${versions} v ON v.user_id = k.user_id AND ${this.versionAsInKeys('v.version')} = k.version
       WHERE v.user_id IS NULL ORDER BY k.user_id, k.version`,
      parameters,
    );
    return found.map((row) => ({
      userId: row.user_id,
      version: wholeNumber(row.version) ?? row.version,
      count: Number(row.count),
    }));
  }

  async open(userId: string): Promise<OpenSourceUser | undefined> {
    await this.database.begin();
    try {
      const [user] = await this.read([userId]);
      if (user) return this.opened(user);
      await this.database.end();
      return undefined;
    } catch (error) {
      await this.database.end();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.database.close();
  }

  private async read(userIds: unknown[]): Promise<SourceUser[]> {
    const found = await this.database.query(
      `SELECT user_id, version, algorithm, auth_data, deleted, etag FROM ${this.tables.versions}
       WHERE user_id IN (${userIds.map(() => '?').join(', ')}) ORDER BY user_id, version`,
      userIds,
    );
    const users = new Map<string, SourceUser>();
    for (const row of found) {
      const userId = String(row.user_id);
      const user = users.get(userId) ?? { userId, backups: [], lastVersion: 0 };
      users.set(userId, user);
      const version = wholeNumber(row.version);
      user.backups.push({
        version: version ?? row.version,
        deleted: Number(row.deleted) !== 0,
        algorithm: row.algorithm,
        authData: row.auth_data,
        etag: wholeNumber(row.etag),
      });
      user.lastVersion = Math.max(user.lastVersion, version ?? 0);
    }
    return [...users.values()];
  }

  private opened(user: SourceUser): OpenSourceUser {
    const sizes = new Map<SourceBackup, Promise<{ count: number; largest: number }>>();
    const size = (backup: SourceBackup) => {
      let known = sizes.get(backup);
      if (!known) sizes.set(backup, (known = this.size(user.userId, backup)));
      return known;
    };
    return {
      user,
      count: async (backup) => (await size(backup)).count,
      keys: (backup) => this.keys(user.userId, backup, size(backup)),
      close: () => this.database.end(),
    };
  }

  private versionOfKeys(version: unknown): unknown {
    return this.keysHoldText ? String(version) : version;
  }

  private versionAsInKeys(column: string): string {
    return this.keysHoldText ? `CAST(${column} AS TEXT)` : column;
  }

  private async size(userId: string, { version }: SourceBackup) {
    const [row] = await this.database.query(
      `SELECT COUNT(*) AS count, MAX(${this.database.bytesOf('session_data')}) AS largest
       FROM ${this.tables.keys} WHERE user_id = ? AND version = ?`,
      [userId, this.versionOfKeys(version)],
    );
    return { count: Number(row?.count), largest: Number(row?.largest ?? 0) };
  }

  private async *keys(
    userId: string,
    { version }: SourceBackup,
    size: Promise<{ largest: number }>,
  ): AsyncGenerator<SourceKey[]> {
    const { largest } = await size;
    const limit = rowsPerPage(ROWS_PER_PAGE, BYTES_PER_PAGE, largest);
    const page = (after?: SourceKey) =>
      this.database.query(
        `SELECT room_id, session_id, first_message_index, forwarded_count, is_verified, session_data
         FROM ${this.tables.keys} WHERE user_id = ? AND version = ?
         ${after ? 'AND (room_id, session_id) > (?, ?)' : ''} ORDER BY room_id, session_id LIMIT ${limit}`,
        [userId, this.versionOfKeys(version), ...(after ? [after.room_id, after.session_id] : [])],
      ) as Promise<unknown> as Promise<SourceKey[]>;
    let next: Promise<SourceKey[]> | undefined = page();
    try {
      while (next) {
        const keys: SourceKey[] = await next;
        // read while the page before is written
        next = keys.length === limit ? page(keys.at(-1)) : undefined;
        // a rejection that is not awaited yet would end the process
        next?.catch(() => undefined);
        if (keys.length > 0) yield keys;
      }
    } finally {
      await next?.catch(() => undefined);
    }
  }
}

/** PostgreSQL's bigint comes as text, as does Dendrite's etag. */
function wholeNumber(value: unknown): number | undefined {
  if (typeof value !== 'number' && !(typeof value === 'string' && /^\d{1,16}$/.test(value))) {
    return undefined;
  }
  const number = Number(value);
  return Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}
