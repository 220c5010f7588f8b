import { Column, Entity, PrimaryColumn } from 'typeorm';

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
