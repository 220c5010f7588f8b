/** The tables of keys, their rooms and sets, and of what was deleted of them. */
import { Column, Entity, Index, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';

/**
 * One row per set of keys that a backup has or had. To delete a backup, or all of its keys, its
 * set is retired: gone for every reader at once, however large it is, and swept row by row later.
 */
@Entity('room_keys_key_sets')
export class KeySetEntity {
  @PrimaryGeneratedColumn({ name: 'key_set_id', type: 'bigint' })
  keySetId!: number;

  /**
   * When its backup let go of it, by the clock of the database, null while a backup has it: it is to be removed.
   * In the future while an import fills it, which puts that off for as long as it goes on: one that was killed is
   * removed too.
   */
  @Index('room_keys_key_sets_retired')
  @Column({ name: 'retired_at', type: 'bigint', nullable: true })
  retiredAt!: number | null;
}

/**
 * One row per room of a key set: gives the room a short number. With the number in place of the
 * id, a room's keys still lie together, in rows and index entries that are 40 bytes shorter.
 */
@Entity('room_keys_rooms')
export class KeyRoomEntity {
  @PrimaryColumn({ name: 'key_set_id', type: 'bigint' })
  keySetId!: number;

  @PrimaryColumn({ name: 'room_id', type: 'varbinary', length: 255 })
  roomId!: Buffer;

  /** The `seq` of the room's first key, hence unique in the set, and never used twice. */
  @Column({ name: 'room_no', type: 'bigint' })
  roomNo!: number;

  /** Exact, as those of the backup: a room is deleted without counting its rows. */
  @Column({ name: 'key_count', type: 'bigint', default: 0 })
  keyCount!: number;

  /** Bytes of all `session_data` in the room. */
  @Column({ name: 'byte_count', type: 'bigint', default: 0 })
  byteCount!: number;
}

/**
 * One row per deleted room whose keys wait to be removed. To delete a room is to take its number from it: its
 * rows of keys stay, and count for no reader and no upload, since no room has their number any more.
 */
@Entity('room_keys_retired_rooms')
export class RetiredRoomEntity {
  @PrimaryColumn({ name: 'key_set_id', type: 'bigint' })
  keySetId!: number;

  @PrimaryColumn({ name: 'room_no', type: 'bigint' })
  roomNo!: number;

  /** When the room was deleted. */
  @Index('room_keys_retired_rooms_retired')
  @Column({ name: 'retired_at', type: 'bigint' })
  retiredAt!: number;
}

/**
 * One row per key. The rows of a key set lie together, in it those of a room, in that in the order
 * of arrival: a restore reads them in one go, and an upload appends to a few pages instead of
 * touching a hundred random ones. What finds a key by its ids is the small index on `id_hash`.
 *
 * Measured at a million keys (MySQL 9, default settings, 100 keys a transaction): clustered by
 * room id and session id an upload takes 2.4 times as long as into an empty set, clustered by
 * arrival with an index on the whole session id 1.6 times, this way 1.0 times.
 *
 * PostgreSQL has no clustered tables: rows lie in the order of arrival, of all users together, and the primary key is an
 * index beside them, which a restore reads in its order. docs/performance.md has what that costs.
 */
@Entity('room_keys_keys')
@Index('room_keys_keys_id', ['keySetId', 'idHash', 'roomNo'], { unique: true })
export class RoomKeyEntity {
  @PrimaryColumn({ name: 'key_set_id', type: 'bigint' })
  keySetId!: number;

  /** A number that no room has any more is that of a deleted one: the row waits to be removed. */
  @PrimaryColumn({ name: 'room_no', type: 'bigint' })
  roomNo!: number;

  /** Counts what was ever added to the set. */
  @PrimaryColumn({ name: 'seq', type: 'bigint' })
  seq!: number;

  /** 128 bits of SHA-256 over both ids: see `idHash`. */
  @Column({ name: 'id_hash', type: 'binary', length: 16 })
  idHash!: Buffer;

  @Column({ name: 'session_id', type: 'varbinary', length: 255 })
  sessionId!: Buffer;

  @Column({ name: 'first_message_index', type: 'bigint' })
  firstMessageIndex!: number;

  @Column({ name: 'forwarded_count', type: 'bigint' })
  forwardedCount!: number;

  @Column({ name: 'is_verified', type: 'tinyint' })
  isVerified!: number;

  /** The device that wrote the key, null where the verifier named none. */
  @Column({ name: 'device_id', type: 'varbinary', length: 255, nullable: true })
  deviceId!: Buffer | null;

  /** The client's JSON text in ASCII, opaque: text, since a JSON column would rewrite it. */
  @Column({ name: 'session_data', type: 'longtext' })
  sessionData!: string;
}

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
