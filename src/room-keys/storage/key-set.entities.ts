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
