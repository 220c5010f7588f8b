import { Column, Entity, Index, PrimaryGeneratedColumn } from 'typeorm';

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
