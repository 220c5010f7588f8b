import { mergeKeys } from './merge-keys.js';
import type { KeyPosition } from '../room-keys/storage/database/dialect.js';
import { START } from '../room-keys/storage/key-set-pages.js';
import { versionNumber } from '../room-keys/storage/rows.js';
import type { DeletedBackupsRepository } from '../room-keys/storage/deleted-backups.repository.js';
import type { DeletedKeysRepository } from '../room-keys/storage/deleted-keys.repository.js';

/**
 * What to restore.
 *
 * @publicApi
 */
export interface RoomKeysRestoreOptions {
  /** The version to restore. Required, no default. */
  version: string;
  /**
   * Gives the backup a new version id, above all others of the user, so that it is the current one: clients read no other.
   * To read its keys, the user needs the recovery key that belongs to it. Default: false.
   */
  asCurrent?: boolean | undefined;
}

/**
 * What was restored.
 *
 * @publicApi
 */
export interface RoomKeysRestoreResult {
  /** The version id of the backup now. */
  version: string;
  /** The user's current backup now. */
  currentVersion: string;
  /** How many deletions were undone. */
  deletions: number;
  /** Keys that the backup has now. */
  count: number;
  /** Deleted keys that were merged into it; those that a better one had taken the place of are left out. */
  merged: number;
}

/**
 * Restores a backup: first the backup itself if it is deleted, in one step; then the keys that were deleted from it, by
 * the rule, page by page. It can be interrupted and run again: keys that are merged already do not change.
 *
 * @returns undefined if there is nothing to restore
 */
export async function restoreDeleted(
  deletedBackups: DeletedBackupsRepository,
  deletedKeys: DeletedKeysRepository,
  userId: string,
  { version, asCurrent = false }: RoomKeysRestoreOptions,
): Promise<RoomKeysRestoreResult | undefined> {
  const number = versionNumber(version);
  if (number === undefined) return undefined;
  const backup = await deletedBackups.reinstate(userId, number, asCurrent);
  if (!backup) return undefined;
  const moved = backup.wasDeleted || backup.version !== number;
  const result = { deletions: backup.wasDeleted ? 1 : 0, merged: 0 };
  const deletions = (await deletedKeys.deletions(userId)).filter(
    (one) => one.kind !== 'backup' && one.version === String(backup.version),
  );
  // the key set last: restoring it removes the rooms that were deleted from it before
  deletions.sort((one, other) => other.roomNo - one.roomNo);
  for (const one of deletions) {
    const deletion = { ...one, rooms: await deletedKeys.roomsOf(one) };
    for (let after: KeyPosition | undefined = START; after;) {
      const page = await deletedKeys.mergePage(
        userId,
        backup.version,
        deletion,
        after,
        async (to, keys) => {
          const { inserts, updates } = await mergeKeys(to, keys);
          return inserts.length + updates.length;
        },
      );
      if (!page) break;
      result.merged += page.merged;
      after = page.last;
      if (!after) result.deletions += 1;
    }
  }
  if (!moved && result.deletions === 0) return undefined;
  return {
    version: String(backup.version),
    currentVersion: String(backup.currentVersion),
    ...result,
    count: await deletedBackups.count(userId, backup.version),
  };
}
