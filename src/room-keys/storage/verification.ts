/**
 * What {@link RoomKeysMaintenance.verify} found wrong, by the invariant that does not hold:
 *
 * | code                       | what does not hold                                                    |
 * | -------------------------- | --------------------------------------------------------------------- |
 * | `key-count`                | the backup's count is the number of its keys                          |
 * | `byte-count`               | the backup's bytes are the sum of its `session_data`                  |
 * | `largest-key`              | no `session_data` is larger than the backup says                      |
 * | `next-seq`                 | no key or room has the number that the next one will get              |
 * | `etag`                     | an etag is a whole number from 0                                      |
 * | `time`                     | a backup changed after it was created                                 |
 * | `algorithm`, `auth-data`   | they are readable: 1 to 255 bytes of UTF-8, a JSON object             |
 * | `current-version`          | the current backup is the newest one that is not deleted |
 * | `last-version`             | no backup has a higher version than was given to its user             |
 * | `backup-without-user`      | each backup has a user                                                |
 * | `backup-without-key-set`   | each backup has a key set                                             |
 * | `key-set-retired`          | a key set that waits to be swept belongs to no backup                 |
 * | `key-set-shared`           | a key set belongs to one backup                                       |
 * | `key-set-without-backup`   | keys of a deleted backup wait to be swept                             |
 * | `keys-without-key-set`     | each key belongs to a key set                                         |
 * | `rooms-without-key-set`    | each room belongs to a key set                                        |
 * | `room-number`              | two rooms of a key set have different numbers                         |
 * | `room-retired`             | a room number that waits to be removed belongs to no room             |
 * | `room-count`               | a room's count and bytes are those of its keys                        |
 * | `key-without-room`         | each key belongs to a room                                            |
 * | `deleted-keys`             | a deletion that can be undone refers to keys that wait to be removed, and to a user      |
 * | `id`                       | ids are 1 to 255 bytes of UTF-8                                       |
 * | `id-hash`                  | a key is found by its ids                                             |
 * | `rank`                     | `first_message_index` and `forwarded_count` are whole numbers from 0 to 2^53−1, `is_verified` is 0 or 1 |
 * | `session-data`             | `session_data` is a JSON object, in ASCII                             |
 *
 * @publicApi
 */
export type RoomKeysFindingCode =
  | 'key-count'
  | 'byte-count'
  | 'largest-key'
  | 'next-seq'
  | 'etag'
  | 'time'
  | 'algorithm'
  | 'auth-data'
  | 'current-version'
  | 'last-version'
  | 'backup-without-user'
  | 'backup-without-key-set'
  | 'key-set-retired'
  | 'key-set-shared'
  | 'key-set-without-backup'
  | 'keys-without-key-set'
  | 'rooms-without-key-set'
  | 'room-number'
  | 'room-retired'
  | 'room-count'
  | 'key-without-room'
  | 'deleted-keys'
  | 'id'
  | 'id-hash'
  | 'rank'
  | 'session-data';

/**
 * One thing that is wrong in the tables. It never holds `session_data` or `auth_data`. An id that
 * is not UTF-8 is given as `0x` and hexadecimal digits.
 *
 * @publicApi
 */
export interface RoomKeysFinding {
  code: RoomKeysFindingCode;
  /** One sentence: what is stored, and what should be. */
  message: string;
  userId?: string | undefined;
  version?: string | undefined;
  keySetId?: number | undefined;
  roomId?: string | undefined;
  sessionId?: string | undefined;
}

/**
 * How far a verification is.
 *
 * @publicApi
 */
export interface RoomKeysVerificationProgress {
  users: number;
  backups: number;
  keys: number;
  /** Keys that there were, by the counts of the backups, when it began. */
  keysInAll: number;
}
