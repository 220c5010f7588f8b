/** The SQL of imports and exports: key sets that nobody reads yet, and what they are compared with. */
import type { DataSource } from 'typeorm';
import type { KeyId, KeyRank, RoomKey } from '../room-key.js';
import type { Row, SqlValue } from './database/connection.js';
import { Database, THE_SERVER } from './database/database.js';
import { idHash } from './id-hash.js';
import { insertImportedBackup, supersede } from './backup-rows.js';
import { KeySetPages, positionOf, type Query, readRooms, roomOf, START } from './key-set-pages.js';
import {
  asKey,
  asRank,
  bytes,
  chunks,
  hex,
  numberOrUndefined,
  placeholders,
  text,
} from './rows.js';
import { type KeyOfDevice, StagedKeySet } from './staged-key-set.js';
import { FoundKeys } from './stored-ranks.js';
import {
  newestBackup,
  newestWithheld,
  withheldText,
  withheldVersions,
} from './withheld-versions.js';

const BYTES_PER_PAGE = 2 * 1024 * 1024;
const ROWS_PER_PAGE = 1000;

/** A backup that is stored, as far as an import needs to know. */
export interface TargetBackup {
  version: number;
  keySetId: number;
  algorithm: string;
  authData: string;
  etag: number;
  mirroredEtag: number | undefined;
  keyCount: number;
  largestKey: number;
  createdAt: number;
  changedAt: number;
}

/** A user who has or had backups here. */
export interface TargetUser {
  lastVersion: number;
  currentVersion: number | undefined;
  /** Versions that an import could not take, oldest first. */
  withheld: number[];
  /** Those that are not deleted, oldest first. */
  backups: TargetBackup[];
}

/** A backup that takes over a staged key set. */
export interface StagedBackup {
  version: number;
  algorithm: string;
  authData: string;
  etag: number;
  keys: StagedKeySet;
  createdAt?: number | undefined;
  changedAt?: number | undefined;
}

/** Somebody has changed the user meanwhile: what was decided has to be decided again. */
export class ChangedMeanwhile extends Error {
  override message = 'The user was changed here meanwhile.';
}

/** Whether a backup is as an import left it, equal to where it came from. */
export const isMirror = ({ etag, mirroredEtag }: TargetBackup): boolean => etag === mirroredEtag;

/**
 * What it was decided on that backups are made or replaced: all that is known of those that are replaced.
 * The others stay, and clients may go on with their keys; of them it matters which there are, which they
 * are, and whether they are still as an import left them, so that they are not the user's own.
 */
function groundsOf({ backups, ...user }: TargetUser, staged: readonly StagedBackup[]): string {
  return JSON.stringify({
    ...user,
    backups: backups.map((backup) => {
      if (staged.some(({ version }) => version === backup.version)) return backup;
      const { version, algorithm, authData } = backup;
      return { version, algorithm, authData, isMirror: isMirror(backup) };
    }),
  });
}

/** Reads and writes on behalf of imports and exports. */
export class ImportRepository {
  private readonly database: Database;

  constructor(dataSource: DataSource) {
    this.database = Database.of(dataSource);
  }

  /** 2 statements, no lock: those of the users who ever had a backup here. */
  users(userIds: readonly string[]): Promise<Map<string, TargetUser>> {
    return this.database.read(THE_SERVER, (connection) =>
      this.usersOf((sql, parameters) => connection.rows(sql, parameters), userIds.map(bytes)),
    );
  }

  /** 1 statement, no lock: ids of users after one, in order. */
  async userIds(after: string | undefined, limit: number): Promise<string[]> {
    const found = await this.read(
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
    const [users] = await this.read(
      `SELECT COUNT(*) AS count FROM ${tables.users}${where}`,
      parameters,
    );
    const [keys] = await this.read(
      `SELECT SUM(key_count) AS count FROM ${tables.backups}${where}`,
      parameters,
    );
    return { users: Number(users?.count), keys: Number(keys?.count ?? 0) };
  }

  /** 3 statements: a key set that belongs to no backup yet, so that no request reads it. */
  stage(): Promise<StagedKeySet> {
    return StagedKeySet.create(this.database);
  }

  /**
   * 6 statements, 7 where a newer backup takes the current one's place, and 2 or 3 per backup; locks the user.
   * Gives staged key sets to backups, which are made, or put their own away for it. Nothing of that is
   * seen before all of it is.
   *
   * @param expected what was known of the user when it was decided
   * @param withheld versions that could not be taken; as they are, where none are given
   * @throws ChangedMeanwhile where that is not so any more, as far as it was decided on it: keys that clients
   *   store in backups which stay are none of its business
   */
  attach(
    userId: string,
    expected: TargetUser | undefined,
    lastVersion: number,
    staged: readonly StagedBackup[],
    withheld: readonly number[] = expected?.withheld ?? [],
  ): Promise<void> {
    const { dialect, tables } = this.database;
    const { users, backups, keySets } = tables;
    const user = bytes(userId);
    return this.database.change(userId, async (connection) => {
      // comes first, as in every change: it takes the lock
      await connection.execute(
        `INSERT INTO ${users} (user_id, last_version, current_version) VALUES (?, 0, NULL)
         ${dialect.onConflict('user_id')} last_version = ${users}.last_version`,
        [user],
      );
      const query: Query = (sql, parameters) =>
        connection.rows(sql + dialect.forUpdate, parameters);
      const now = (await this.usersOf(query, [user])).get(userId);
      const known = expected ?? {
        lastVersion: 0,
        currentVersion: undefined,
        withheld: [],
        backups: [],
      };
      if (!now || groundsOf(now, staged) !== groundsOf(known, staged)) throw new ChangedMeanwhile();
      for (const one of staged) {
        await one.keys.release(connection);
        const old = known.backups.find(({ version }) => version === one.version);
        if (old) {
          await connection.execute(
            `UPDATE ${keySets} SET retired_at = ${dialect.now} WHERE key_set_id = ?`,
            [old.keySetId],
          );
          await connection.execute(`DELETE FROM ${backups} WHERE user_id = ? AND version = ?`, [
            user,
            one.version,
          ]);
        }
        await insertImportedBackup(connection, this.database, user, {
          ...one,
          createdAt: one.createdAt ?? old?.createdAt,
        });
      }
      const current = known.currentVersion ?? Infinity;
      const newest = newestWithheld(withheld);
      if (newest > current || staged.some(({ version }) => version > current)) {
        await supersede(connection, this.database, user, known.currentVersion);
      }
      await connection.execute(
        `UPDATE ${users} SET revision = revision + 1, last_version = ?, withheld_versions = ?, current_version =
           ${newestBackup(tables)} WHERE user_id = ?`,
        [Math.max(known.lastVersion, lastVersion), withheldText(withheld), user, newest, user],
      );
    });
  }

  /** 1 statement per 500 keys, no lock: what is stored under the ids of keys, undefined where nothing is. */
  async stored(
    keySetId: number,
    keys: readonly RoomKey[],
  ): Promise<((KeyRank & { sessionData: string }) | undefined)[]> {
    const { dialect, tables } = this.database;
    const hashes = new Map<KeyId, string>(keys.map((key) => [key, idHash(key)]));
    const found = new FoundKeys<KeyRank & { sessionData: string }>();
    for (const some of chunks([...hashes], dialect.rowsPerStatement)) {
      const roomIds = [...new Set(some.map(([{ roomId }]) => roomId))];
      const values = dialect.values();
      const page = await this.read(
        `SELECT id_hash AS id, room_no, first_message_index, forwarded_count, is_verified, session_data
         FROM ${tables.keys} WHERE key_set_id = ${values.integer(keySetId)}
           AND id_hash IN (${some.map(([, hash]) => values.hex(hash)).join()})
         UNION ALL SELECT room_id, room_no, NULL, NULL, NULL, NULL
         FROM ${tables.rooms} WHERE key_set_id = ${values.integer(keySetId)}
           AND room_id IN (${roomIds.map((roomId) => values.bytesOf(roomId)).join()})`,
        values.parameters,
      );
      for (const row of page) {
        const roomNo = Number(row.room_no);
        if (row.session_data === null) found.roomNumbers.set(text(row.id), roomNo);
        else {
          const sessionData = row.session_data as string;
          found.add(hex(row.id), roomNo, { ...asRank(row), sessionData });
        }
      }
    }
    return Array.from(hashes, ([key, hash]) => found.get(hash, key));
  }

  /** 3 statements and 1 per page, no lock: all keys of a set, in one consistent snapshot. */
  async *keysOf(keySetId: number, largestKey: number): AsyncGenerator<KeyOfDevice[]> {
    const snapshot = await this.database.snapshot();
    try {
      yield* this.pages((sql, parameters) => snapshot.rows(sql, parameters), keySetId, largestKey);
    } finally {
      await snapshot.close();
    }
  }

  /** 4 statements and 1 per page, no lock: a user with all keys of each backup, in one consistent snapshot. */
  async *userWithKeys(
    userId: string,
  ): AsyncGenerator<{ user: TargetUser } | { backup: TargetBackup } | { keys: KeyOfDevice[] }> {
    const snapshot = await this.database.snapshot();
    const query: Query = (sql, parameters) => snapshot.rows(sql, parameters);
    try {
      const user = (await this.usersOf(query, [bytes(userId)])).get(userId);
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

  private async *pages(
    query: Query,
    keySetId: number,
    largestKey: number,
  ): AsyncGenerator<KeyOfDevice[]> {
    const rooms = await readRooms(query, this.database, keySetId);
    const pages = new KeySetPages(this.database, keySetId, rooms, KEY_COLUMNS);
    const limit = Math.max(
      1,
      Math.min(ROWS_PER_PAGE, Math.floor(BYTES_PER_PAGE / Math.max(1, largestKey))),
    );
    for (let after = START; ;) {
      const page = await pages.page(query, after, limit);
      const last = page.at(-1);
      if (!last) return;
      yield page.map((row) => ({
        ...asKey(row, roomOf(row, rooms)),
        deviceId: row.device_id === null ? undefined : text(row.device_id),
      }));
      if (page.length < limit) return;
      after = positionOf(last);
    }
  }

  private async usersOf(query: Query, users: readonly Buffer[]): Promise<Map<string, TargetUser>> {
    const found = new Map<string, TargetUser>();
    if (users.length === 0) return found;
    const which = placeholders(users.length);
    for (const row of await query(
      `SELECT user_id, last_version, current_version, withheld_versions FROM ${this.database.tables.users}
       WHERE user_id IN (${which})`,
      users,
    )) {
      found.set(text(row.user_id), {
        lastVersion: Number(row.last_version),
        currentVersion: numberOrUndefined(row.current_version),
        withheld: withheldVersions(row.withheld_versions),
        backups: [],
      });
    }
    for (const row of await query(
      `SELECT user_id, version, key_set_id, algorithm, auth_data, etag, mirrored_etag, key_count,
         largest_key, created_at, changed_at
       FROM ${this.database.tables.backups} WHERE user_id IN (${which}) ORDER BY user_id, version`,
      users,
    )) {
      found.get(text(row.user_id))?.backups.push({
        version: Number(row.version),
        keySetId: Number(row.key_set_id),
        algorithm: text(row.algorithm),
        authData: row.auth_data as string,
        etag: Number(row.etag),
        mirroredEtag: numberOrUndefined(row.mirrored_etag),
        keyCount: Number(row.key_count),
        largestKey: Number(row.largest_key),
        createdAt: Number(row.created_at),
        changedAt: Number(row.changed_at),
      });
    }
    return found;
  }

  private read(sql: string, parameters: readonly SqlValue[]): Promise<Row[]> {
    return this.database.read(THE_SERVER, (connection) => connection.rows(sql, parameters));
  }
}

const KEY_COLUMNS =
  'session_id, first_message_index, forwarded_count, is_verified, device_id, session_data';
