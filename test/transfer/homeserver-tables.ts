import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';

/** A backup to be put into the tables of a homeserver. */
export interface HomeserverBackup {
  algorithm?: string;
  auth_data?: unknown;
  etag?: unknown;
  deleted?: number;
}

/** A key to be put there. Whatever a test likes. */
export interface HomeserverKey {
  first_message_index?: unknown;
  forwarded_count?: unknown;
  is_verified?: unknown;
  session_data?: unknown;
}

export const ALGORITHM = 'm.megolm_backup.v1.curve25519-aes-sha2';
export const authDataOf = (publicKey: string) =>
  `{"public_key": "${publicKey}", "signatures": {"@alice:hs1": {"ed25519:A": "sig"}}}`;

/** The form of the tables, as each homeserver makes them in SQLite. */
const FORMS = {
  synapse: {
    versions: 'e2e_room_keys_versions',
    keys: 'e2e_room_keys',
    create: `
      CREATE TABLE e2e_room_keys_versions (user_id TEXT NOT NULL, version BIGINT NOT NULL,
        algorithm TEXT NOT NULL, auth_data TEXT NOT NULL, deleted SMALLINT DEFAULT 0 NOT NULL, etag BIGINT);
      CREATE UNIQUE INDEX e2e_room_keys_versions_idx ON e2e_room_keys_versions (user_id, version);
      CREATE TABLE e2e_room_keys (user_id TEXT NOT NULL, room_id TEXT NOT NULL, session_id TEXT NOT NULL,
        version BIGINT NOT NULL, first_message_index INT, forwarded_count INT, is_verified BOOLEAN,
        session_data TEXT NOT NULL);
      CREATE UNIQUE INDEX e2e_room_keys_with_version_idx
        ON e2e_room_keys (user_id, version, room_id, session_id);`,
  },
  dendrite: {
    versions: 'userapi_key_backup_versions',
    keys: 'userapi_key_backups',
    create: `
      CREATE TABLE userapi_key_backup_versions (user_id TEXT NOT NULL,
        version INTEGER PRIMARY KEY AUTOINCREMENT, algorithm TEXT NOT NULL, auth_data TEXT NOT NULL,
        etag TEXT NOT NULL, deleted INTEGER DEFAULT 0 NOT NULL);
      CREATE TABLE userapi_key_backups (user_id TEXT NOT NULL, room_id TEXT NOT NULL,
        session_id TEXT NOT NULL, version TEXT NOT NULL, first_message_index INTEGER NOT NULL,
        forwarded_count INTEGER NOT NULL, is_verified BOOLEAN NOT NULL, session_data TEXT NOT NULL);
      CREATE UNIQUE INDEX e2e_room_keys_idx
        ON userapi_key_backups (user_id, room_id, session_id, version);`,
  },
};

/** The tables of a homeserver, made by hand in a file of SQLite. */
export class HomeserverTables {
  private readonly folder = mkdtempSync(join(tmpdir(), 'room-keys-homeserver-'));
  readonly file = join(this.folder, 'homeserver.db');
  private readonly database = new Sqlite(this.file);
  private readonly form: (typeof FORMS)[keyof typeof FORMS];

  constructor(kind: keyof typeof FORMS = 'synapse') {
    this.form = FORMS[kind];
    // a page of the import is read while another connection writes
    this.database.pragma('journal_mode = WAL');
    this.database.exec(this.form.create);
  }

  backup(userId: string, version: unknown, fields: HomeserverBackup = {}): this {
    const { algorithm, auth_data, etag, deleted } = {
      algorithm: ALGORITHM,
      auth_data: authDataOf(`key of ${userId} ${String(version)}`),
      etag: 0,
      deleted: 0,
      ...fields,
    };
    this.run(
      `INSERT INTO ${this.form.versions} (user_id, version, algorithm, auth_data, deleted, etag)
       VALUES (?, ?, ?, ?, ?, ?)`,
      [userId, version, algorithm, auth_data, deleted, etag],
    );
    return this;
  }

  key(
    userId: string,
    version: unknown,
    roomId: unknown,
    sessionId: unknown,
    fields: HomeserverKey = {},
  ): this {
    const key = {
      first_message_index: 0,
      forwarded_count: 0,
      is_verified: 0,
      session_data: `{"ephemeral":"e","ciphertext":"of ${String(sessionId)}","mac":"m"}`,
      ...fields,
    };
    this.run(
      `INSERT INTO ${this.form.keys} (user_id, version, room_id, session_id, first_message_index,
         forwarded_count, is_verified, session_data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        userId,
        version,
        roomId,
        sessionId,
        key.first_message_index,
        key.forwarded_count,
        key.is_verified,
        key.session_data,
      ],
    );
    return this;
  }

  keys(userId: string, version: unknown, count: number, from = 0): this {
    this.database.transaction(() => {
      for (let n = from; n < from + count; n++) {
        this.key(userId, version, `!room${n % 7}:hs1`, `session ${String(n).padStart(6, '0')}`);
      }
    })();
    return this;
  }

  /** As the homeserver deletes a backup: the keys go, the row stays. */
  delete(userId: string, version: unknown): this {
    this.run(`DELETE FROM ${this.form.keys} WHERE user_id = ? AND version = ?`, [userId, version]);
    return this.change(userId, version, 'deleted = 1');
  }

  /** @param set such as `etag = 5` */
  change(userId: string, version: unknown, set: string): this {
    this.run(`UPDATE ${this.form.versions} SET ${set} WHERE user_id = ? AND version = ?`, [
      userId,
      version,
    ]);
    return this;
  }

  run(sql: string, parameters: unknown[] = []): void {
    this.database.prepare(sql).run(...parameters);
  }

  drop(): void {
    this.database.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
