import type { RoomKeysBackupChange } from '../room-keys.events.js';
import type { BackupHistory } from './backup-history.js';
import { deleteReservation } from './backup-rows.js';
import type { Connection } from './database/connection.js';
import type { Storage } from './key-rows.js';
import type { KeptDeletions } from './kept-deletions.js';
import { LockedBackup } from './locked-backup.js';
import { bytes, numberOrUndefined } from './rows.js';

/** What changes leave beside themselves: each undefined where nothing. */
export interface Traces {
  /** Deletions can be undone. */
  kept?: KeptDeletions | undefined;
  history?: BackupHistory | undefined;
}

/** A user whose backups and keys no other transaction can change until this one ends. */
export interface LockedUser {
  /** The id of the user's newest backup that is not deleted. */
  currentVersion: string | undefined;
  /** Whether the version asked for was ever given to this user, deleted or not. */
  everExisted: boolean;
  /** The backup asked for, unless it is deleted or never existed. */
  backup: LockedBackup | undefined;
  /** Deletes the version asked for, in 3 statements, 4 where that can be undone; 1 where it has no backup. */
  deleteVersion: () => Promise<void>;
  /** 2 or 3 statements, none without a history: remembers what was done with the backup, after it was done. */
  remember: (change: {
    what: RoomKeysBackupChange;
    deviceId: string | null | undefined;
    /** Default: how many keys the backup has. */
    count?: number;
  }) => Promise<void>;
}

/**
 * 1 statement, 2 on PostgreSQL; locks the user and, except on PostgreSQL, the backup, which is not changed without the
 * user's lock. Must be the first statement of its transaction: later reads then see the current state.
 *
 * @param version undefined for an id that no backup can have
 */
export async function lockUser(
  connection: Connection,
  storage: Storage,
  userId: string,
  version: number | undefined,
  { kept, history }: Traces = {},
): Promise<LockedUser> {
  const { dialect, tables } = storage;
  const user = bytes(userId);
  if (dialect.locksOneTable) {
    await connection.defer(`SELECT 1 FROM ${tables.users} WHERE user_id = ?${dialect.forUpdate}`, [
      user,
    ]);
    // and, in a transaction that saw it before, whether it has changed since: that is a conflict then
    if (connection.isJoined) {
      await connection.rows(
        `SELECT 1 FROM ${tables.backups} WHERE user_id = ? AND version = ?${dialect.forUpdate}`,
        [user, version ?? 0],
      );
    }
  }
  const [row] = await connection.rows(
    `SELECT u.last_version, u.current_version, b.version, b.algorithm, b.key_set_id, b.etag, b.key_count,
       b.byte_count, b.largest_key, b.next_seq, b.changed_at
     FROM ${tables.users} u
     LEFT JOIN ${tables.backups} b ON b.user_id = u.user_id AND b.version = ?
     WHERE u.user_id = ?${dialect.locksOneTable ? '' : dialect.forUpdate}`,
    [version ?? 0, user],
  );
  const backup =
    row && numberOrUndefined(row.version) !== undefined
      ? new LockedBackup(connection, storage, user, row, kept)
      : undefined;
  const currentVersion = numberOrUndefined(row?.current_version);
  return {
    currentVersion: currentVersion?.toString(),
    everExisted: version !== undefined && version <= Number(row?.last_version ?? 0),
    backup,
    deleteVersion: async () => {
      if (backup) await backup.delete();
      else if (version !== undefined) await deleteReservation(connection, storage, user, version);
    },
    remember: async ({ what, deviceId, count }) => {
      if (!backup || !history) return;
      const { count: stored, etag } = backup.state;
      await history.write(connection, user, {
        what,
        deviceId,
        version,
        currentBefore: currentVersion,
        count: count ?? stored,
        etag: Number(etag),
      });
    },
  };
}
