/**
 * The plain types of the module. Names are those of the Matrix specification, in camel case;
 * the wire's own names (`first_message_index`) appear in DTOs only.
 */

/** The three facts about a key by which the better of two is told: see {@link isBetter}. */
export interface KeyRank {
  /** Whether the uploading device had verified the device that the key came from. */
  isVerified: boolean;
  /** Index of the first message that the key can decrypt: 0 to 2^53−1, lower is better. */
  firstMessageIndex: number;
  /** How often the key was forwarded between devices: 0 to 2^53−1, lower is better. */
  forwardedCount: number;
}

/** Names one key inside a backup. Both ids are opaque, 1 to 255 bytes of UTF-8, compared byte for byte. */
export interface KeyId {
  roomId: string;
  sessionId: string;
}

/** One backed up key of a megolm session. */
export interface RoomKey extends KeyId, KeyRank {
  /**
   * The encrypted key as JSON text, opaque to the server: what the client sent, character for
   * character (beyond ASCII as `\uXXXX`), never parsed and written anew, so that nothing in it
   * changes, numbers beyond 2^53 included.
   */
  sessionData: string;
}

/** Keys whose `session_data` stays bytes, in ASCII: see {@link RoomKey.sessionData}. */
export interface StoredKeys {
  readonly length: number;
  /** @param n from 0 on */
  idAndRank(n: number): Omit<RoomKey, 'sessionData'>;
  /** Bytes of the key's `session_data`. */
  dataLength(n: number): number;
  /** @returns how many bytes were copied */
  copyData(n: number, target: Buffer, at: number): number;
}

/** What a read or a delete is about: the whole backup, one room of it, or one session. */
export type KeySelection =
  | { roomId?: undefined; sessionId?: undefined }
  | { roomId: string; sessionId?: undefined }
  | { roomId: string; sessionId: string };

/** The answer to each change of the keys, from the transaction that made it. */
export interface KeysState {
  /** Exact number of keys in the backup. */
  count: number;
  /** Opaque; another value after each change of the keys, never the same for two states. */
  etag: string;
}

/** A backup without its keys. */
export interface Backup extends KeysState {
  /** Decimal digits without a leading zero, counted per user from "1", never used twice. */
  version: string;
  /** Such as `m.megolm_backup.v1.curve25519-aes-sha2`. */
  algorithm: string;
  /** The client's `auth_data` as JSON text, kept like {@link RoomKey.sessionData}. */
  authData: string;
}

/** What a client chooses of a backup. */
export type BackupInformation = Pick<Backup, 'algorithm' | 'authData'>;

/** What {@link RoomKeysService.summary} tells of a backup. */
export interface BackupSummary extends KeysState {
  version: string;
  /** Whether it is the newest. */
  isCurrent: boolean;
  algorithm: string;
  /** Bytes of all `session_data` in the backup. */
  bytes: number;
  createdAt: Date;
  /** When the keys last changed; when the backup was created, if they never did. */
  changedAt: Date;
  /** The devices that wrote the keys that are stored now, in no order; without those that the verifier did not name. */
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

/** What {@link RoomKeysService.activity} tells of this process. */
export interface Activity {
  /** Restores that are being read. */
  restores: number;
  /** Restores that wait for their turn to begin; after 15 seconds the client gets 503. */
  restoresWaiting: number;
  /** Changes that wait for their turn: those of one user are made one after the other. */
  transactionsWaiting: number;
  /** Short reads that wait for their turn. */
  readsWaiting: number;
  /** The connections of the DataSource; undefined where it has several pools, as with `replication`. */
  connections: ConnectionCounts | undefined;
}

/** The connections of a pool. */
export interface ConnectionCounts {
  used: number;
  free: number;
  /** What wants a connection and waits for one. */
  waiting: number;
  /** The most that the pool opens. */
  max: number;
}
