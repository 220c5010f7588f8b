/** The SQL of imports and exports: key sets that nobody reads yet, and what they are weighed against. */
import type { DataSource, QueryRunner } from 'typeorm';
import type { KeyRank, RoomKey } from '../room-key.js';
import { type DatabaseFamily, familyOf } from './database-family.js';
import { idHash } from './id-hash.js';
import type { KeyPosition } from './key-pages.js';
import { SqlValues } from './sql-values.js';
import { openSnapshot, type Snapshot } from './snapshot.js';
import { Transactions } from './transactions.js';
import { insertKeys, insertKeySet, insertRooms, supersede } from './key-rows.js';
import {
  asKey,
  asRank,
  bytes,
  chunks,
  hex,
  inOrder,
  laterThan,
  numberOrUndefined,
  placeholders,
  roomOf,
  type Row,
  rows,
  rowsPerStatement,
  text,
} from './rows.js';
import { tableNames, type Tables } from './tables.js';
import {
  newestBackup,
  newestWithheld,
  withheldText,
  withheldVersions,
} from './withheld-versions.js';

/** How long the keys of an import that was killed stay; one that goes on puts it off. */
const LEASE_MS = 60 * 60 * 1000;
const RENEW_BELOW_MS = 50 * 60 * 1000;
/** What must be left of a lease: more than the clocks of two machines differ. */
const LEFT_AT_LEAST_MS = 30 * 60 * 1000;
const BYTES_PER_PAGE = 2 * 1024 * 1024;
const ROWS_PER_PAGE = 1000;

/** A source may give a key twice, pages apart: then the checksum of that backup is not right, and the others are taken. */
const STAYS_AS_IT_IS: Readonly<Record<DatabaseFamily, string>> = {
  mysql: 'ON DUPLICATE KEY UPDATE key_set_id = key_set_id',
  sqlite: 'ON CONFLICT DO NOTHING',
};

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

/** A key with the device that wrote it. */
export type KeyOfDevice = RoomKey & { deviceId?: string | undefined };

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
  private readonly family: DatabaseFamily;
  private readonly tables: Tables;
  private readonly transactions: Transactions;

  constructor(private readonly dataSource: DataSource) {
    this.family = familyOf(dataSource.options.type);
    this.tables = tableNames(dataSource.options.entityPrefix ?? '');
    this.transactions = Transactions.of(dataSource);
  }

  /** 2 statements, no lock: those of the users who ever had a backup here. */
  users(userIds: readonly string[]): Promise<Map<string, TargetUser>> {
    return this.transactions.single((runner) => this.readUsers(runner, userIds.map(bytes)));
  }

  /** 1 statement, no lock: ids of users after one, in order. */
  async userIds(after: string | undefined, limit: number): Promise<string[]> {
    const found = await this.read(
      `SELECT user_id FROM ${this.tables.users} ${after === undefined ? '' : 'WHERE user_id > ?'}
       ORDER BY user_id LIMIT ${limit}`,
      after === undefined ? [] : [bytes(after)],
    );
    return found.map((row) => text(row.user_id));
  }

  /** 2 statements, no lock: of all users, or of one. */
  async totals(userId: string | undefined): Promise<{ users: number; keys: number }> {
    const [where, parameters] =
      userId === undefined ? ['', []] : [' WHERE user_id = ?', [bytes(userId)]];
    const [users] = await this.read(
      `SELECT COUNT(*) AS count FROM ${this.tables.users}${where}`,
      parameters,
    );
    const [keys] = await this.read(
      `SELECT SUM(key_count) AS count FROM ${this.tables.backups}${where}`,
      parameters,
    );
    return { users: Number(users?.count), keys: Number(keys?.count ?? 0) };
  }

  /** 1 statement: a key set that belongs to no backup yet, and that nobody reads. */
  async stage(): Promise<StagedKeySet> {
    const lease = Date.now() + LEASE_MS;
    const keySetId = await this.transactions.single((runner) =>
      insertKeySet(runner, this.tables, lease),
    );
    return new StagedKeySet(this.transactions, this.family, this.tables, keySetId, lease);
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
    const { users, backups, keySets } = this.tables;
    const user = bytes(userId);
    return this.transactions.run(async (runner) => {
      const exists =
        this.family === 'mysql' ? 'ON DUPLICATE KEY UPDATE' : 'ON CONFLICT (user_id) DO UPDATE SET';
      // comes first, as in every change: it takes the lock
      await runner.query(
        `INSERT INTO ${users} (user_id, last_version, current_version) VALUES (?, 0, NULL)
         ${exists} last_version = last_version`,
        [user],
      );
      const now = (await this.readUsers(runner, [user], true)).get(userId);
      const known = expected ?? {
        lastVersion: 0,
        currentVersion: undefined,
        withheld: [],
        backups: [],
      };
      if (!now || groundsOf(now, staged) !== groundsOf(known, staged)) throw new ChangedMeanwhile();
      for (const one of staged) {
        await one.keys.release(runner);
        const old = known.backups.find(({ version }) => version === one.version);
        if (old) {
          await runner.query(`UPDATE ${keySets} SET retired_at = ? WHERE key_set_id = ?`, [
            Date.now(),
            old.keySetId,
          ]);
          await runner.query(`DELETE FROM ${backups} WHERE user_id = ? AND version = ?`, [
            user,
            one.version,
          ]);
        }
        const { keySetId, keyCount, byteCount, largestKey, nextSeq } = one.keys;
        const createdAt = one.createdAt ?? old?.createdAt ?? Date.now();
        await runner.query(
          `INSERT INTO ${backups} (user_id, version, key_set_id, algorithm, auth_data, etag, key_count,
             byte_count, largest_key, next_seq, created_at, changed_at, mirrored_etag)
           VALUES (${placeholders(13)})`,
          [
            user,
            one.version,
            keySetId,
            bytes(one.algorithm),
            one.authData,
            one.etag,
            keyCount,
            byteCount,
            largestKey,
            nextSeq,
            createdAt,
            // the clocks of those who wrote the one and the other may differ
            Math.max(one.changedAt ?? Date.now(), createdAt),
            one.etag,
          ],
        );
      }
      const current = known.currentVersion ?? Infinity;
      const newest = newestWithheld(withheld);
      if (newest > current || staged.some(({ version }) => version > current)) {
        await supersede(runner, this.family, this.tables, user, known.currentVersion);
      }
      await runner.query(
        `UPDATE ${users} SET revision = revision + 1, last_version = ?, withheld_versions = ?, current_version =
           ${newestBackup(this.tables)} WHERE user_id = ?`,
        [Math.max(known.lastVersion, lastVersion), withheldText(withheld), user, newest, user],
      );
    });
  }

  /** 1 statement per 500 keys, no lock: what is stored under the ids of keys, undefined where nothing is. */
  async stored(
    keySetId: number,
    keys: readonly RoomKey[],
  ): Promise<((KeyRank & { sessionData: string }) | undefined)[]> {
    const hashes = keys.map(idHash);
    const found = new Map<string, KeyRank & { sessionData: string }>();
    for (const some of chunks(hashes, rowsPerStatement(this.family))) {
      const values = new SqlValues(this.family);
      const page = await this.read(
        `SELECT id_hash, first_message_index, forwarded_count, is_verified, session_data
         FROM ${this.tables.keys} WHERE key_set_id = ${values.integer(keySetId)}
           AND id_hash IN (${some.map((hash) => values.hex(hash)).join()})`,
        values.parameters,
      );
      for (const row of page) {
        found.set(hex(row.id_hash), { ...asRank(row), sessionData: row.session_data as string });
      }
    }
    return hashes.map((hash) => found.get(hash));
  }

  /** 3 statements and one per page, no lock: all keys of a set, as of one moment. */
  async *keysOf(keySetId: number, largestKey: number): AsyncGenerator<KeyOfDevice[]> {
    const snapshot = await openSnapshot(this.dataSource, this.transactions, 'the import');
    try {
      yield* this.pages(snapshot, keySetId, largestKey);
    } finally {
      await snapshot.close();
    }
  }

  /** 4 statements and one per page, no lock: a user with all keys of each backup, as of one moment. */
  async *userWithKeys(
    userId: string,
  ): AsyncGenerator<{ user: TargetUser } | { backup: TargetBackup } | { keys: KeyOfDevice[] }> {
    const snapshot = await openSnapshot(this.dataSource, this.transactions, userId);
    try {
      const user = (
        await this.usersOf((sql, parameters) => snapshot.query(sql, parameters), [bytes(userId)])
      ).get(userId);
      if (!user) return;
      yield { user };
      for (const backup of user.backups) {
        yield { backup };
        for await (const keys of this.pages(snapshot, backup.keySetId, backup.largestKey)) {
          yield { keys };
        }
      }
    } finally {
      await snapshot.close();
    }
  }

  private async *pages(
    snapshot: Snapshot,
    keySetId: number,
    largestKey: number,
  ): AsyncGenerator<KeyOfDevice[]> {
    const { rooms, keys } = this.tables;
    const roomRows = await snapshot.query(
      `SELECT room_no, room_id FROM ${rooms} WHERE key_set_id = ?`,
      [keySetId],
    );
    const roomIds = new Map(roomRows.map((row) => [Number(row.room_no), text(row.room_id)]));
    const limit = Math.max(
      1,
      Math.min(ROWS_PER_PAGE, Math.floor(BYTES_PER_PAGE / Math.max(1, largestKey))),
    );
    for (let after: KeyPosition | undefined = { roomNo: -1, seq: -1 }; after;) {
      const [where, position] = laterThan(this.family, after);
      const page = await snapshot.query(
        `SELECT room_no, seq, session_id, first_message_index, forwarded_count, is_verified,
           device_id, session_data
         FROM ${keys}${inOrder(this.family)} WHERE key_set_id = ? AND ${where} ORDER BY room_no, seq LIMIT ${limit}`,
        [keySetId, ...position],
      );
      const last = page.at(-1);
      if (!last) return;
      yield page.map((row) => ({
        ...asKey(row, roomOf(row, roomIds)),
        deviceId: row.device_id === null ? undefined : text(row.device_id),
      }));
      after =
        page.length === limit ? { roomNo: Number(last.room_no), seq: Number(last.seq) } : undefined;
    }
  }

  private readUsers(
    runner: QueryRunner,
    users: Buffer[],
    locked = false,
  ): Promise<Map<string, TargetUser>> {
    const lock = locked && this.family === 'mysql' ? ' FOR UPDATE' : '';
    return this.usersOf((sql, parameters) => rows(runner, sql + lock, parameters), users);
  }

  private async usersOf(
    query: (sql: string, parameters: unknown[]) => Promise<Row[]>,
    users: Buffer[],
  ): Promise<Map<string, TargetUser>> {
    const found = new Map<string, TargetUser>();
    if (users.length === 0) return found;
    const which = placeholders(users.length);
    for (const row of await query(
      `SELECT user_id, last_version, current_version, withheld_versions FROM ${this.tables.users}
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
       FROM ${this.tables.backups} WHERE user_id IN (${which}) ORDER BY user_id, version`,
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

  private read(sql: string, parameters: unknown[]): Promise<Row[]> {
    return this.transactions.single((runner) => rows(runner, sql, parameters));
  }
}

/**
 * A key set that is being filled. No backup has it, so no reader sees it, and until one does it waits
 * to be swept: whatever becomes of an import, nothing of it stays behind.
 */
export class StagedKeySet {
  keyCount = 0;
  byteCount = 0;
  largestKey = 0;
  nextSeq = 0;
  private readonly roomNumbers = new Map<string, number>();

  constructor(
    private readonly transactions: Transactions,
    private readonly family: DatabaseFamily,
    private readonly tables: Tables,
    readonly keySetId: number,
    private lease: number,
  ) {}

  /** 4 statements, and more for more than 500 keys; locks nothing that anybody else reads. */
  async add(keys: readonly KeyOfDevice[]): Promise<void> {
    if (keys.length === 0) return;
    const lease = Date.now() + LEASE_MS;
    const renew = this.lease < Date.now() + RENEW_BELOW_MS;
    const newRooms = new Map<string, number>();
    const placed = keys.map((key, index) => {
      const seq = this.nextSeq + index;
      let roomNo = this.roomNumbers.get(key.roomId) ?? newRooms.get(key.roomId);
      if (roomNo === undefined) newRooms.set(key.roomId, (roomNo = seq));
      return { key, deviceId: key.deviceId, hash: idHash(key), roomNo, seq };
    });
    await this.transactions.run(async (runner) => {
      if (renew) await this.renew(runner, lease);
      await insertRooms(runner, this.family, this.tables, this.keySetId, [...newRooms]);
      await insertKeys(
        runner,
        this.family,
        this.tables,
        this.keySetId,
        placed,
        STAYS_AS_IT_IS[this.family],
      );
    });
    if (renew) this.lease = lease;
    for (const [roomId, roomNo] of newRooms) this.roomNumbers.set(roomId, roomNo);
    this.nextSeq += keys.length;
    this.keyCount += keys.length;
    for (const { sessionData } of keys) {
      this.byteCount += sessionData.length;
      this.largestKey = Math.max(this.largestKey, sessionData.length);
    }
  }

  /** 2 statements: it belongs to a backup from now on. */
  async release(runner: QueryRunner): Promise<void> {
    await this.checkLease(runner);
    await runner.query(`UPDATE ${this.tables.keySets} SET retired_at = NULL WHERE key_set_id = ?`, [
      this.keySetId,
    ]);
  }

  /** 1 statement: it is not needed, and may be swept at once. Does nothing to one that a backup has. */
  async discard(): Promise<void> {
    await this.transactions.single((runner) =>
      runner.query(
        `UPDATE ${this.tables.keySets} SET retired_at = ? WHERE key_set_id = ? AND retired_at IS NOT NULL`,
        [Date.now(), this.keySetId],
      ),
    );
  }

  private async renew(runner: QueryRunner, lease: number): Promise<void> {
    await this.checkLease(runner);
    await runner.query(`UPDATE ${this.tables.keySets} SET retired_at = ? WHERE key_set_id = ?`, [
      lease,
      this.keySetId,
    ]);
  }

  private async checkLease(runner: QueryRunner): Promise<void> {
    const [row] = await rows(
      runner,
      `SELECT retired_at FROM ${this.tables.keySets} WHERE key_set_id = ?${this.family === 'mysql' ? ' FOR UPDATE' : ''}`,
      [this.keySetId],
    );
    if (Number(row?.retired_at ?? 0) >= Date.now() + LEFT_AT_LEAST_MS) return;
    throw new Error(
      'The import stood still for so long that its keys may be swept: begin it again.',
    );
  }
}
