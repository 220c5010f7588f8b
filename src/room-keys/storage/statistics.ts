/**
 * What is stored, of all users together.
 *
 * @publicApi
 */
export interface RoomKeysStatistics {
  /** Users who ever had a backup. */
  users: number;
  /** Users who have one now. */
  usersWithBackup: number;
  /** Backups that are not deleted. */
  backups: number;
  /** Keys in them. */
  keys: number;
  /** Bytes of all `session_data` in them. */
  bytes: number;
  /** What was deleted and waits to be removed. */
  waiting: {
    /** Key sets of deleted backups, and of backups whose keys were all deleted. */
    keySets: number;
    /** Deleted rooms of other key sets. */
    rooms: number;
    /** When the first of them was deleted, undefined without any. */
    since: Date | undefined;
  };
  /** Deletions that can be undone: see `keepDeletedDays`. */
  kept: {
    deletions: number;
    keys: number;
    /** When the first and the last of them are removed, undefined without any. */
    firstUntil: Date | undefined;
    lastUntil: Date | undefined;
  };
  /** Staged by an import that is running or was interrupted, and not attached to a user yet. */
  staged: {
    keySets: number;
    keys: number;
    /** When the last of them are removed, unless an import goes on with them; undefined without any. */
    until: Date | undefined;
  };
  /** The backups with the most keys, the largest one first. */
  largest: LargeBackup[];
}

/**
 * One of the largest backups.
 *
 * @publicApi
 */
export interface LargeBackup {
  userId: string;
  version: string;
  count: number;
  /** Bytes of its `session_data`. */
  bytes: number;
  changedAt: Date;
}

/**
 * How much is stored of a user.
 *
 * @publicApi
 */
export interface StoredUserCounts {
  userId: string;
  /** Backups that are not deleted. */
  backups: number;
  /** Keys in them. */
  keys: number;
  /** Deletions that can be undone: see `keepDeletedDays`. */
  kept: number;
}
