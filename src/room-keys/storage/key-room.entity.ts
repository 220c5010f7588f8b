import { Column, Entity, PrimaryColumn } from 'typeorm';

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
