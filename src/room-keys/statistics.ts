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
  /** Key sets of deleted backups, and of backups whose keys were deleted, that wait to be swept. */
  waiting: {
    keySets: number;
    /** When the first of them was retired, undefined without any. */
    since: Date | undefined;
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
