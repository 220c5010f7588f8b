import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

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
