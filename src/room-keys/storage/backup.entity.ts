import { Column, Entity, PrimaryColumn } from 'typeorm';

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
