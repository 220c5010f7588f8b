import { Column, Entity, PrimaryColumn } from 'typeorm';

/**
 * State of a version after an import, so that a later one can see what has changed since. A version that has a
 * row with an etag and no backup was deleted here.
 */
@Entity('room_keys_imports')
export class ImportedVersionEntity {
  @PrimaryColumn({ name: 'user_id', type: 'varbinary', length: 255 })
  userId!: Buffer;

  @PrimaryColumn({ name: 'version', type: 'bigint' })
  version!: number;

  /**
   * The etag in the source at the last import. Null for a reserved version: it exists in the source, was never
   * imported, and is not deleted.
   */
  @Column({ name: 'source_etag', type: 'bigint', nullable: true })
  sourceEtag!: number | null;

  /**
   * The etag after an import, if only imports had changed the keys until then: while the backup still has it, that is
   * still true. Null if there was none.
   */
  @Column({ name: 'etag', type: 'bigint', nullable: true })
  etag!: number | null;

  /** SHA-256 of the source's `auth_data` at the last import. */
  @Column({ name: 'auth_data_hash', type: 'binary', length: 32, nullable: true })
  authDataHash!: Buffer | null;
}
