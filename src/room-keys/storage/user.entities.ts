/** The tables of users and their backups. */
import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/**
 * One row per user who ever had a backup. It is the lock: whatever changes a user's backups or
 * keys locks this row first, so that one user's changes happen one after the other, on however
 * many servers, and never wait for another user's.
 */
@Entity('room_keys_users')
export class BackupOwnerEntity {
  /** Full Matrix user id, as bytes of UTF-8. */
  @PrimaryColumn({ name: 'user_id', type: 'varbinary', length: 255 })
  userId!: Buffer;

  /** The highest version id ever given to this user; those up to it without a backup are deleted, or reserved. */
  @Column({ name: 'last_version', type: 'bigint' })
  lastVersion!: number;

  /** The newest backup that is not deleted, null when there is none. */
  @Column({ name: 'current_version', type: 'bigint', nullable: true })
  currentVersion!: number | null;

  /**
   * Steps at each change of which backups the user has, so that in a cluster two such changes meet in
   * one row: locks are not replicated to the other nodes, only changes of rows are. Creating a
   * backup steps `last_version`, which does the same.
   */
  @Column({ name: 'revision', type: 'bigint', default: 0 })
  revision!: number;
}

/**
 * One row per backup that is not deleted. Its count and etag are kept exact by every change of
 * its keys, in the same transaction, so that rows are never counted.
 */
@Entity('room_keys_backups')
export class BackupEntity {
  @PrimaryColumn({ name: 'user_id', type: 'varbinary', length: 255 })
  userId!: Buffer;

  /** Counted per user from 1; the version id of the API is its decimal form. */
  @PrimaryColumn({ name: 'version', type: 'bigint' })
  version!: number;

  /** The key set that holds this backup's keys; deleting all keys gives the backup a new one. */
  @Column({ name: 'key_set_id', type: 'bigint' })
  keySetId!: number;

  @Column({ name: 'algorithm', type: 'varbinary', length: 255 })
  algorithm!: Buffer;

  /** The client's JSON text in ASCII, opaque: text, since a JSON column would rewrite it. */
  @Column({ name: 'auth_data', type: 'longtext' })
  authData!: string;

  /** Goes up by one with each change of the keys, and never back; the API's `etag` is its decimal form. */
  @Column({ name: 'etag', type: 'bigint' })
  etag!: number;

  @Column({ name: 'key_count', type: 'bigint' })
  keyCount!: number;

  /** Bytes of all `session_data` in the backup. */
  @Column({ name: 'byte_count', type: 'bigint' })
  byteCount!: number;

  /** An upper bound for the bytes of one `session_data`: limits how many rows a restore reads at once. */
  @Column({ name: 'largest_key', type: 'bigint' })
  largestKey!: number;

  /** The `seq` of the next key that is added. */
  @Column({ name: 'next_seq', type: 'bigint' })
  nextSeq!: number;

  /** Milliseconds since 1970, as are all times here: no time zone of any connection matters. */
  @Column({ name: 'created_at', type: 'bigint' })
  createdAt!: number;

  /** When the keys last changed; at first, when the backup was created. */
  @Column({ name: 'changed_at', type: 'bigint' })
  changedAt!: number;
}

/**
 * State of a version after an import, so that a later one can see what has changed since. A version that has a
 * row with an etag and no backup was deleted here.
 */
@Entity('room_keys_imports')
export class ImportedVersionEntity {
  @PrimaryColumn({ name: 'user_id', type: 'varbinary', length: 255 })
  userId!: Buffer;

  @PrimaryColumn({ name: 'version', type: 'bigint' })
  version!: number;

  /**
   * The etag in the source at the last import. Null for a reserved version: it exists in the source, was never
   * imported, and is not deleted.
   */
  @Column({ name: 'source_etag', type: 'bigint', nullable: true })
  sourceEtag!: number | null;

  /**
   * The etag after an import, if only imports had changed the keys until then: while the backup still has it, that is
   * still true. Null if there was none.
   */
  @Column({ name: 'etag', type: 'bigint', nullable: true })
  etag!: number | null;

  /** SHA-256 of the source's `auth_data` at the last import. */
  @Column({ name: 'auth_data_hash', type: 'binary', length: 32, nullable: true })
  authDataHash!: Buffer | null;
}

/**
 * One row per change of backups that is not an upload: explains later why a client was refused. It names no key and no
 * room. Rows are removed by age, and beyond a number per user.
 */
@Entity('room_keys_history')
export class HistoryEntryEntity {
  @PrimaryColumn({ name: 'user_id', type: 'varbinary', length: 255 })
  userId!: Buffer;

  /** Counted per user. */
  @PrimaryColumn({ name: 'entry_no', type: 'bigint' })
  entryNo!: number;

  @Index('room_keys_history_happened')
  @Column({ name: 'happened_at', type: 'bigint' })
  happenedAt!: number;

  /** See `RoomKeysBackupChange`. */
  @Column({ name: 'what', type: 'varbinary', length: 16 })
  what!: Buffer;

  /** The device whose request it was, null for a command and where the verifier named none. */
  @Column({ name: 'device_id', type: 'varbinary', length: 255, nullable: true })
  deviceId!: Buffer | null;

  /** The backup that it is about, null where it is about all of them. */
  @Column({ name: 'version', type: 'bigint', nullable: true })
  version!: number | null;

  /** The current backup before it and after it, null for none. */
  @Column({ name: 'current_before', type: 'bigint', nullable: true })
  currentBefore!: number | null;

  @Column({ name: 'current_after', type: 'bigint', nullable: true })
  currentAfter!: number | null;

  /** Keys: those that were deleted, else those of the backup. */
  @Column({ name: 'key_count', type: 'bigint' })
  keyCount!: number;

  @Column({ name: 'etag', type: 'bigint', nullable: true })
  etag!: number | null;
}
