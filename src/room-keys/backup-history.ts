/**
 * What happened to a user's backups, beside uploads:
 *
 * | what           | count is that of          |
 * | -------------- | ------------------------- |
 * | `created`      | the new backup, which is 0 |
 * | `auth_data`    | the backup whose `auth_data` was changed |
 * | `keys_deleted` | the keys that were deleted: all, or those of a room |
 * | `deleted`      | the backup that was deleted |
 * | `restored`     | the backup that was restored, or whose deleted keys were |
 * | `imported`     | the backup that was imported, or that keys were merged into |
 * | `erased`       | all keys of the user      |
 *
 * @publicApi
 */
export type RoomKeysBackupChange =
  'created' | 'auth_data' | 'keys_deleted' | 'deleted' | 'restored' | 'imported' | 'erased';

/**
 * One change of a user's backups. It names no key and no room.
 *
 * @publicApi
 */
export interface RoomKeysHistoryEntry {
  at: Date;
  what: RoomKeysBackupChange;
  /** Undefined for a command, and where the verifier named none. */
  deviceId: string | undefined;
  /** The backup that it is about; undefined where it is about all of them. */
  version: string | undefined;
  /** The current backup before it and after it; undefined for none. */
  currentBefore: string | undefined;
  currentAfter: string | undefined;
  /** Keys: see {@link RoomKeysBackupChange}. */
  count: number;
  /** Of the backup, after the change; undefined where it has none. */
  etag: string | undefined;
}
