import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** A device that is logged in. */
@Entity('sessions')
@Index('sessions_user', ['userId'])
export class Session {
  /** SHA-256 of the access token: who reads this table cannot use what is in it. */
  @PrimaryColumn({ name: 'token_hash', type: 'varchar', length: 64 })
  tokenHash!: string;

  @Column({ name: 'user_id', type: 'varchar', length: 255 })
  userId!: string;

  @Column({ name: 'device_id', type: 'varchar', length: 255 })
  deviceId!: string;

  @Column({ name: 'display_name', type: 'varchar', length: 255, nullable: true })
  displayName!: string | null;
}
