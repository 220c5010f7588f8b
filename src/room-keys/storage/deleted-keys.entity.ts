import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/**
 * One row per deletion that can be undone: what the rows of `room_keys_key_sets` and `room_keys_retired_rooms` do not
 * record about the keys that they keep until `retired_at`. It is removed with that row.
 */
@Entity('room_keys_deleted')
export class DeletedKeysEntity {
  @PrimaryColumn({ name: 'key_set_id', type: 'bigint' })
  keySetId!: number;

  /** The number that the deleted room or key has now; −1 where the whole set was deleted. */
  @PrimaryColumn({ name: 'room_no', type: 'bigint' })
  roomNo!: number;

  @Index('room_keys_deleted_user')
  @Column({ name: 'user_id', type: 'varbinary', length: 255 })
  userId!: Buffer;

  /** The backup that was deleted, or that the keys were deleted from. */
  @Column({ name: 'version', type: 'bigint' })
  version!: number;

  /** 'backup', 'keys' for all keys of a backup, 'room', or 'key'. */
  @Column({ name: 'kind', type: 'varbinary', length: 16 })
  kind!: Buffer;

  /** Of a room or a key: no row of `room_keys_rooms` has the number any more. */
  @Column({ name: 'room_id', type: 'varbinary', length: 255, nullable: true })
  roomId!: Buffer | null;

  /** This and the other columns that may be null are those of a deleted backup. */
  @Column({ name: 'algorithm', type: 'varbinary', length: 255, nullable: true })
  algorithm!: Buffer | null;

  @Column({ name: 'auth_data', type: 'longtext', nullable: true })
  authData!: string | null;

  @Column({ name: 'etag', type: 'bigint', nullable: true })
  etag!: number | null;

  @Column({ name: 'next_seq', type: 'bigint', nullable: true })
  nextSeq!: number | null;

  @Column({ name: 'created_at', type: 'bigint', nullable: true })
  createdAt!: number | null;

  @Column({ name: 'changed_at', type: 'bigint', nullable: true })
  changedAt!: number | null;

  /** Keys that were deleted, bytes of their `session_data`, and an upper bound for one of them. */
  @Column({ name: 'key_count', type: 'bigint' })
  keyCount!: number;

  @Column({ name: 'byte_count', type: 'bigint' })
  byteCount!: number;

  @Column({ name: 'largest_key', type: 'bigint' })
  largestKey!: number;

  @Column({ name: 'deleted_at', type: 'bigint' })
  deletedAt!: number;
}
