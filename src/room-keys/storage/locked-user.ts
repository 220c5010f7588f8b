import { deleteReservation } from './backup-rows.js';
import type { Connection } from './database/connection.js';
import type { Storage } from './key-rows.js';
import { LockedBackup } from './locked-backup.js';
import { bytes, numberOrUndefined } from './rows.js';

/** A user whose backups and keys no other transaction can change until this one ends. */
export interface LockedUser {
  /** The id of the user's newest backup that is not deleted. */
  currentVersion: string | undefined;
  /** Whether the version asked for was ever given to this user, deleted or not. */
  everExisted: boolean;
  /** The backup asked for, unless it is deleted or never existed. */
  backup: LockedBackup | undefined;
  /** Deletes the version asked for, in 3 statements; 1 where it has no backup. */
  deleteVersion: () => Promise<void>;
}

/**
 * 1 statement, 2 on PostgreSQL; locks the user and, but for PostgreSQL, the backup, which nobody changes without the
 * user's lock. To be the first statement of its transaction: what is read after it, is read as it is now.
 *
 * @param version undefined for an id that no backup can have
 */
export async function lockUser(
  connection: Connection,
  storage: Storage,
  userId: string,
  version: number | undefined,
): Promise<LockedUser> {
  const { dialect, tables } = storage;
  const user = bytes(userId);
  if (dialect.locksOneTable) {
    await connection.rows(`SELECT 1 FROM ${tables.users} WHERE user_id = ?${dialect.forUpdate}`, [
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
      ? new LockedBackup(connection, storage, user, row)
      : undefined;
  return {
    currentVersion: numberOrUndefined(row?.current_version)?.toString(),
    everExisted: version !== undefined && version <= Number(row?.last_version ?? 0),
    backup,
    deleteVersion: async () => {
      if (backup) await backup.delete();
      else if (version !== undefined) await deleteReservation(connection, storage, user, version);
    },
  };
}
