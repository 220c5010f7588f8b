/** A homeserver, or its database, cannot be read; the message says what is wrong and what to do, without a password. */
export class SourceError extends Error {}

/** A key as its source has it: not validated. */
export interface SourceKey {
  room_id: unknown;
  session_id: unknown;
  first_message_index: unknown;
  forwarded_count: unknown;
  is_verified: unknown;
  session_data: unknown;
  device_id?: unknown;
}

/** A backup as its source has it: not validated. */
export interface SourceBackup {
  version: unknown;
  deleted: boolean;
  algorithm: unknown;
  authData: unknown;
  /** undefined where it is not a number, so that clients know none */
  etag: number | undefined;
  createdAt?: number;
  changedAt?: number;
}

/** A user as the source has them, deleted backups included. */
export interface SourceUser {
  userId: string;
  backups: SourceBackup[];
  /** The highest version that was ever given out. */
  lastVersion: number;
  /** Versions that are not deleted, and that the source does not have either. */
  reserved?: readonly number[];
  /** Whether all other versions up to the last are deleted. */
  othersAreDeleted?: boolean;
}

/** A consistent snapshot of one user in the source. */
export interface OpenSourceUser {
  user: SourceUser;
  /** The number of keys of a backup. */
  count(backup: SourceBackup): Promise<number>;
  /** The keys of a backup, page by page, those of a room together. */
  keys(backup: SourceBackup): AsyncIterable<SourceKey[]>;
  close(): Promise<void>;
}

/** Keys of a version that is missing in the source: no client can read them there. */
export interface OrphanedKeys {
  userId: unknown;
  version: unknown;
  count: number;
}

/** Where backups are imported from. */
export interface BackupSource {
  totals(userId: string | undefined): Promise<{ users: number; keys: number }>;
  /** All users who ever had a backup, or one, some at a time. */
  users(userId: string | undefined): AsyncIterable<SourceUser[]>;
  /** Of all users, or of one. */
  orphanedKeys(userId: string | undefined): Promise<OrphanedKeys[]>;
  open(userId: string): Promise<OpenSourceUser | undefined>;
  close(): Promise<void>;
}
