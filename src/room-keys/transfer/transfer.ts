import type { RoomKey } from '../room-key.js';

/**
 * Why something was not taken, or not touched:
 *
 * | code                | what it is about                                                            | fails the import |
 * | ------------------- | --------------------------------------------------------------------------- | --- |
 * | `user`              | the user id is none                                                          | yes |
 * | `backup`            | the backup cannot be read: its version, algorithm, `auth_data`                | yes |
 * | `key`               | the key is one that no client could have stored, or is there a second time; the rest of its backup is taken | yes |
 * | `unread`            | the source counts more keys than it gave                                     | yes |
 * | `conflict`          | another backup has the same version here, and stays                          | yes |
 * | `superseding`       | the user made a current backup here, which a newer one would take the place of | yes |
 * | `superseded`        | the backup is here, and is not the current one: a newer one was not taken, so that the user has none | yes |
 * | `stray-keys`        | keys of a version that the source does not list                              | yes |
 * | `verification`      | what was stored is not what was read; it was not taken                       | yes |
 * | `in-use`            | the user's backups were changed here during each attempt, and not all of them could be taken | yes |
 * | `deleted-here`      | the backup was deleted here, and stays deleted                               | no  |
 * | `changed-here`      | the backup was deleted in the source, but changed here, and stays            | no  |
 *
 * @publicApi
 */
export type RoomKeysTransferIssueCode =
  | 'user'
  | 'backup'
  | 'key'
  | 'unread'
  | 'conflict'
  | 'superseding'
  | 'superseded'
  | 'stray-keys'
  | 'verification'
  | 'in-use'
  | 'deleted-here'
  | 'changed-here';

/** Codes that tell of a decision, not of something that is missing. */
export const HARMLESS: readonly RoomKeysTransferIssueCode[] = ['deleted-here', 'changed-here'];

/**
 * One thing that an import did not take. It never holds `session_data` or `auth_data`.
 *
 * @publicApi
 */
export interface RoomKeysTransferIssue {
  code: RoomKeysTransferIssueCode;
  /** One sentence. */
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
  /** Read, or passed over with the backup that they are in. */
  keys: number;
  /** Keys that the source counted when it began. */
  keysInAll: number;
}

/**
 * What an import did. To import the same again changes nothing.
 *
 * @publicApi
 */
export interface RoomKeysImportResult {
  users: number;
  backups: {
    /** Were not here. */
    created: number;
    /** Had not been changed here, and are again what they are in the source. */
    followed: number;
    /** Had been changed here: took the keys that were missing or better. */
    merged: number;
    /** Were up to date. */
    unchanged: number;
    /** Were deleted in the source, and had not been changed here. */
    deleted: number;
    /** Were not taken: see the issues. */
    refused: number;
  };
  keys: {
    /** Read from the source. */
    read: number;
    /** Written, those of created backups included. */
    written: number;
    /** That could not be taken, those included that belong to no backup of the source. */
    refused: number;
  };
  /** Backups whose count and checksum were read back and compared with the source's, and their keys. */
  verified: { backups: number; keys: number };
  /** How many issues there are of each code. */
  issues: Partial<Record<RoomKeysTransferIssueCode, number>>;
}

/** A key as its source has it: nothing is known of it. */
export interface SourceKey {
  room_id: unknown;
  session_id: unknown;
  first_message_index: unknown;
  forwarded_count: unknown;
  is_verified: unknown;
  session_data: unknown;
  device_id?: unknown;
}

/** A backup as its source has it. */
export interface SourceBackup {
  version: unknown;
  deleted: boolean;
  algorithm: unknown;
  authData: unknown;
  /** undefined where it is no number: clients know none */
  etag: number | undefined;
  createdAt?: number;
  changedAt?: number;
  /** Why it cannot be read, where the source itself says so; one sentence. */
  fault?: string;
}

/** A user as the source has them, the deleted backups included. */
export interface SourceUser {
  userId: string;
  backups: SourceBackup[];
  /** The highest version that was ever given. */
  lastVersion: number;
  /** Whether versions up to the last that are not among the backups are deleted too. */
  restIsDeleted?: boolean;
}

/** One moment's state of one user in the source. */
export interface OpenSourceUser {
  user: SourceUser;
  /** How many keys a backup has, by the source's own count. */
  count(backup: SourceBackup): Promise<number>;
  /** The keys of a backup, a page at a time, those of a room together; can be read again. */
  keys(backup: SourceBackup): AsyncIterable<SourceKey[]>;
  close(): Promise<void>;
}

/** Keys of a version that the source does not list: nobody reads them there. */
export interface StrayKeys {
  userId: unknown;
  version: unknown;
  count: number;
}

/** Where backups are taken from. */
export interface BackupSource {
  totals(userId: string | undefined): Promise<{ users: number; keys: number }>;
  /** All users who ever had a backup, or one, some at a time. */
  users(userId: string | undefined): AsyncIterable<SourceUser[]>;
  /** Keys that belong to none of the backups, of all users, or of one. */
  strays(userId: string | undefined): Promise<StrayKeys[]>;
  open(userId: string): Promise<OpenSourceUser | undefined>;
  close(): Promise<void>;
}

/** A key that can be stored. */
export interface TransferKey extends RoomKey {
  deviceId?: string | undefined;
}
