import type { MigrationInterface, QueryRunner } from 'typeorm';
import type { DialectId } from '../database/dialects.js';
import { migrationTarget } from './migration-target.js';

/** Adds the versions that an import could not take, which must not look deleted: see `BackupOwnerEntity`. */
export class AddWithheldVersions1764000003000 implements MigrationInterface {
  name = 'AddWithheldVersions1764000003000';

  async up(queryRunner: QueryRunner): Promise<void> {
    // MySQL commits each DDL statement by itself: one that was broken off may have added it already
    if (await hasColumn(queryRunner)) return;
    const type = TYPES[migrationTarget(queryRunner).dialect];
    await queryRunner.query(
      `ALTER TABLE ${migrationTarget(queryRunner).tables.users} ADD COLUMN withheld_versions ${type} NULL`,
    );
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    if (!(await hasColumn(queryRunner))) return;
    await queryRunner.query(
      `ALTER TABLE ${migrationTarget(queryRunner).tables.users} DROP COLUMN withheld_versions`,
    );
  }
}

const TYPES: Record<DialectId, string> = { mysql: 'longtext', postgres: 'text', sqlite: 'text' };

const name = (queryRunner: QueryRunner) => `${migrationTarget(queryRunner).prefix}room_keys_users`;
const hasColumn = (queryRunner: QueryRunner) =>
  queryRunner.hasColumn(name(queryRunner), 'withheld_versions');
