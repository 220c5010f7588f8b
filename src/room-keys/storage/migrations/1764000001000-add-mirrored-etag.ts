import type { MigrationInterface, QueryRunner } from 'typeorm';
import type { DialectId } from '../database/dialects.js';
import { migrationTarget } from './migration-target.js';

/** Adds what an import notes of a backup: see `BackupEntity`. */
export class AddMirroredEtag1764000001000 implements MigrationInterface {
  name = 'AddMirroredEtag1764000001000';

  async up(queryRunner: QueryRunner): Promise<void> {
    // MySQL commits each DDL statement by itself: one that was broken off may have added it already
    if (await hasColumn(queryRunner)) return;
    const type = TYPES[migrationTarget(queryRunner).dialect];
    await queryRunner.query(
      `ALTER TABLE ${migrationTarget(queryRunner).tables.backups} ADD COLUMN mirrored_etag ${type} NULL`,
    );
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    if (!(await hasColumn(queryRunner))) return;
    await queryRunner.query(
      `ALTER TABLE ${migrationTarget(queryRunner).tables.backups} DROP COLUMN mirrored_etag`,
    );
  }
}

const TYPES: Record<DialectId, string> = { mysql: 'bigint', postgres: 'bigint', sqlite: 'integer' };

const name = (queryRunner: QueryRunner) =>
  `${migrationTarget(queryRunner).prefix}room_keys_backups`;
const hasColumn = (queryRunner: QueryRunner) =>
  queryRunner.hasColumn(name(queryRunner), 'mirrored_etag');
