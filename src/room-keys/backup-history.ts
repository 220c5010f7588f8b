/**
 * The changes of a user's backups other than uploads:
 *
 * | what           | keys in `count`           |
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
  /** Undefined for a command, and if the verifier returned none. */
  deviceId: string | undefined;
  /** The changed backup; undefined if all backups were changed. */
  version: string | undefined;
  /** The current backup before and after the change; undefined for none. */
  currentBefore: string | undefined;
  currentAfter: string | undefined;
  /** Keys: see {@link RoomKeysBackupChange}. */
  count: number;
  /** Etag of the backup after the change; undefined if it has none. */
  etag: string | undefined;
}
