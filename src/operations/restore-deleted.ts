import type {
  RoomKeysRestoreOptions,
  RoomKeysRestoreResult,
} from '../room-keys/storage/deletions.js';
import { mergeKeys } from './merge-keys.js';
import type { KeyPosition } from '../room-keys/storage/database/dialect.js';
import { START } from '../room-keys/storage/key-set-pages.js';
import { versionNumber } from '../room-keys/storage/rows.js';
import type { UndoRepository } from '../room-keys/storage/undo.repository.js';

/**
 * Restores a backup: first the backup itself if it is deleted, in one step; then the keys that were deleted from it, by
 * the rule, page by page. It can be interrupted and run again: keys that are merged already do not change.
 *
 * @returns undefined if there is nothing to restore
 */
export async function restoreDeleted(
  undo: UndoRepository,
  userId: string,
  { version, asCurrent = false }: RoomKeysRestoreOptions,
): Promise<RoomKeysRestoreResult | undefined> {
  const number = versionNumber(version);
  if (number === undefined) return undefined;
  const backup = await undo.reinstate(userId, number, asCurrent);
  if (!backup) return undefined;
  const moved = backup.wasDeleted || backup.version !== number;
  const result = { deletions: backup.wasDeleted ? 1 : 0, merged: 0 };
  const deletions = (await undo.deletions(userId)).filter(
    (one) => one.kind !== 'backup' && one.version === String(backup.version),
  );
  // the key set last: restoring it removes the rooms that were deleted from it before
  deletions.sort((one, other) => other.roomNo - one.roomNo);
  for (const one of deletions) {
    const deletion = { ...one, rooms: await undo.roomsOf(one) };
    for (let after: KeyPosition | undefined = START; after;) {
      const page = await undo.mergePage(
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
    count: await undo.count(userId, backup.version),
  };
}
