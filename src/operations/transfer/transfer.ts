/**
 * Why something was not imported:
 *
 * | code                    | meaning                                                                            | `complete` |
 * | ----------------------- | ---------------------------------------------------------------------------------- | ----- |
 * | `user-id`               | the user id is not valid; the user was skipped                                     | false |
 * | `newest-backup`         | the user's newest backup cannot be read; all backups of the user were skipped      | false |
 * | `backup`                | an older backup cannot be read: its version, algorithm or `auth_data`              | false |
 * | `key`                   | no client could have stored the key, or the source has it twice; the rest of its backup was imported | false |
 * | `key-count`             | the source counts another number of keys than it returned                          | false |
 * | `conflict`              | the user has another backup with the same version here, which is kept              | false |
 * | `would-replace-current` | the user created a backup here, and this newer version would replace it as the current one | false |
 * | `orphaned-keys`         | keys of a version that is missing in the source                                    | false |
 * | `verification`          | what was stored is not what was read; it was undone                                | false |
 * | `in-use`                | clients changed the user's backups during each attempt                             | false |
 * | `left-out`              | the user was erased here, or deleted every backup: nothing of the user was imported | false |
 * | `deleted-here`          | the backup was deleted here, and stays deleted                                     | true  |
 * | `deleted-in-source`     | the backup was deleted in the source, and is kept here                             | true  |
 *
 * @publicApi
 */
export type RoomKeysTransferIssueCode =
  | 'user-id'
  | 'newest-backup'
  | 'backup'
  | 'key'
  | 'key-count'
  | 'conflict'
  | 'would-replace-current'
  | 'orphaned-keys'
  | 'verification'
  | 'in-use'
  | 'left-out'
  | 'deleted-here'
  | 'deleted-in-source';

/** Codes of decisions: nothing is missing. */
export const DECISIONS: readonly RoomKeysTransferIssueCode[] = [
  'deleted-here',
  'deleted-in-source',
];

/**
 * One thing that was not imported. It never contains `session_data` or `auth_data`.
 *
 * @publicApi
 */
export interface RoomKeysTransferIssue {
  code: RoomKeysTransferIssueCode;
  /** One or two sentences. */
  message: string;
  userId: string;
  version?: string | undefined;
  roomId?: string | undefined;
  sessionId?: string | undefined;
}

/**
 * How far an import or export is.
 *
 * @publicApi
 */
export interface RoomKeysTransferProgress {
  users: number;
  usersInAll: number;
  /** Read, or skipped with their backup. */
  keys: number;
  /** Keys that the source counted when the import or export began. */
  keysInAll: number;
}

/**
 * What an import did. To import the same again changes nothing.
 *
 * @publicApi
 */
export interface RoomKeysImportResult {
  /** Whether everything in the source is here now, or was left out by a decision: see {@link RoomKeysTransferIssueCode}. */
  complete: boolean;
  users: number;
  backups: {
    /** Did not exist here. */
    created: number;
    /** Existed here: got new or better keys, another etag or `auth_data`. */
    merged: number;
    /** Were up to date. */
    unchanged: number;
    /** Were deleted here, as in the source. */
    deleted: number;
    /** Were not imported: see the issues. */
    skipped: number;
  };
  keys: {
    /** Read from the source. */
    read: number;
    /** Written, those of created backups included. */
    written: number;
    /** Could not be imported; includes those that belong to no backup of the source. */
    skipped: number;
  };
  /** Backups whose keys were read back and compared with the source, and those keys. */
  verified: { backups: number; keys: number };
  /** How many issues there are of each code. */
  issues: Partial<Record<RoomKeysTransferIssueCode, number>>;
}

/**
 * Options of an import.
 *
 * @publicApi
 */
export interface RoomKeysImportOptions {
  /** Imports only this user. Default: all users. */
  userId?: string | undefined;
  /** Skips backups whose etag and `auth_data` in the source are those of the last import, without reading their keys. Default: false. */
  changedOnly?: boolean | undefined;
  /**
   * Deletes backups that were deleted in the source and were not changed here. For imports before clients use
   * this server only: it may delete keys that a client uploaded here and that were stored already. Default: false.
   */
  followDeletions?: boolean | undefined;
  /**
   * Also imports versions that were deleted here, as if they had never existed: for a user who was erased after a trial.
   * Needs `userId`. Default: false.
   */
  again?: boolean | undefined;
  /** Aborts the import: it rejects with the signal's reason. What was imported stays, and is sound. Default: none. */
  signal?: AbortSignal | undefined;
  /** Called about once every thousand keys, and after each user. Default: none. */
  onProgress?: ((progress: RoomKeysTransferProgress) => void) | undefined;
  /** Called with everything that is not imported, and why. Default: none. */
  onIssue?: ((issue: RoomKeysTransferIssue) => void) | undefined;
}
