import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

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
