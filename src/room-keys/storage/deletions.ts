/**
 * A deletion that can be undone.
 *
 * @publicApi
 */
export interface RoomKeysDeletion {
  /** What was deleted: a backup, all keys of one, those of a room, or one key. */
  kind: 'backup' | 'keys' | 'room' | 'key';
  /** The backup, or the one that the keys were deleted from. */
  version: string;
  /** Keys that were deleted. */
  count: number;
  deletedAt: Date;
  /** When the keys are removed. */
  keptUntil: Date;
}

/**
 * What is to be restored.
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
