import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

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
