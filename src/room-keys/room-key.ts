/**
 * The plain types of the module. Names are those of the Matrix specification, in camel case;
 * the wire's own names (`first_message_index`) appear in DTOs only.
 */

/** The three facts that decide which of two keys is better: see {@link isBetter}. */
export interface KeyRank {
  /** Whether the uploading device had verified the device that the key came from. */
  isVerified: boolean;
  /** Index of the first message that the key can decrypt: 0 to 2^53−1, lower is better. */
  firstMessageIndex: number;
  /** How often the key was forwarded between devices: 0 to 2^53−1, lower is better. */
  forwardedCount: number;
}

/** Identifies one key inside a backup. Both ids are opaque, 1 to 255 bytes of UTF-8, compared byte for byte. */
export interface KeyId {
  roomId: string;
  sessionId: string;
}

/** One backed up key of a megolm session. */
export interface RoomKey extends KeyId, KeyRank {
  /**
   * The encrypted key as JSON text, opaque to the server: exactly what the client sent (beyond ASCII as
   * `\uXXXX`). It is never parsed and serialized again, so that nothing in it changes, including
   * numbers beyond 2^53.
   */
  sessionData: string;
}

/** Keys whose `session_data` is kept as bytes, in ASCII: see {@link RoomKey.sessionData}. */
export interface StoredKeys {
  readonly length: number;
  /** @param n from 0 on */
  idAndRank(n: number): Omit<RoomKey, 'sessionData'>;
  /** Bytes of the key's `session_data`. */
  dataLength(n: number): number;
  /** @returns the number of bytes copied */
  copyData(n: number, target: Buffer, at: number): number;
}

/** The keys to read or delete: those of the whole backup, of one room, or of one session. */
export type KeySelection =
  | { roomId?: undefined; sessionId?: undefined }
  | { roomId: string; sessionId?: undefined }
  | { roomId: string; sessionId: string };

/** State of the keys after a change, from the transaction that made it. */
export interface KeysState {
  /** Exact number of keys in the backup. */
  count: number;
  /** Opaque; a new value after each change of the keys, never the same for two states. */
  etag: string;
}

/** A backup without its keys. */
export interface Backup extends KeysState {
  /** Decimal digits without a leading zero, counted per user from "1", never reused. */
  version: string;
  /** For example `m.megolm_backup.v1.curve25519-aes-sha2`. */
  algorithm: string;
  /** The client's `auth_data` as JSON text, kept like {@link RoomKey.sessionData}. */
  authData: string;
}

/** The part of a backup that the client chooses. */
export type BackupInformation = Pick<Backup, 'algorithm' | 'authData'>;

/** One backup in {@link RoomKeysMaintenance.summary}. */
export interface BackupSummary extends KeysState {
  version: string;
  /** Whether it is the newest one. */
  isCurrent: boolean;
  algorithm: string;
  /** Bytes of all `session_data` in the backup. */
  bytes: number;
  createdAt: Date;
  /** When the keys last changed; when the backup was created, if they never did. */
  changedAt: Date;
  /** The devices that wrote the stored keys, in no particular order, as far as the verifier named them. */
  devices: string[];
}

/** What is stored of one user. */
export interface UserSummary {
  /** The backups that are not deleted, oldest first. */
  backups: BackupSummary[];
  /** Whether the user ever had a backup here. */
  isKnown: boolean;
  /** Versions that exist in the source of an import, which could not import them. */
  versionsNotImported: string[];
  /** Keys in all of them. */
  count: number;
  /** Bytes of all `session_data` in all of them. */
  bytes: number;
  /** When the oldest of them was created, undefined without any. */
  firstChange: Date | undefined;
  /** When keys of any of them last changed, undefined without any. */
  lastChange: Date | undefined;
}

/** The current activity of this process: see {@link RoomKeysService.activity}. */
export interface Activity {
  /** Restores in progress. */
  restores: number;
  /** Restores waiting to begin; after 15 seconds the client gets 503. */
  restoresWaiting: number;
  /** Waiting changes: those of one user are made one after the other. */
  transactionsWaiting: number;
  /** Waiting short reads. */
  readsWaiting: number;
  /** The connections of the DataSource; undefined if it has several pools, as with `replication`. */
  connections: ConnectionCounts | undefined;
}

/** The connections of a pool. */
export interface ConnectionCounts {
  used: number;
  free: number;
  /** Requests waiting for a connection. */
  waiting: number;
  /** Maximum size of the pool. */
  max: number;
}
