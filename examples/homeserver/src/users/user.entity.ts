import { Column, Entity, PrimaryColumn } from 'typeorm';

@Entity('users')
export class User {
  /** Full user id, such as `@alice:localhost`. */
  @PrimaryColumn({ name: 'user_id', type: 'varchar', length: 255 })
  userId!: string;

  /** Null for guests, and once the account is deactivated. */
  @Column({ name: 'password_hash', type: 'varchar', length: 255, nullable: true })
  passwordHash!: string | null;

  @Column({ name: 'is_guest', type: 'boolean' })
  isGuest!: boolean;

  @Column({ name: 'is_deactivated', type: 'boolean' })
  isDeactivated!: boolean;
}
