import type { MigrationInterface, QueryRunner } from 'typeorm';
import type { DialectId } from '../database/dialects.js';
import { migrationTarget } from './migration-target.js';

/** Adds the row's step that changes on two nodes of a cluster meet in: see `BackupOwnerEntity`. */
export class AddRevision1764000002000 implements MigrationInterface {
  name = 'AddRevision1764000002000';

  async up(queryRunner: QueryRunner): Promise<void> {
    // MySQL commits each DDL statement by itself: one that was broken off may have added it already
    if (await hasColumn(queryRunner)) return;
    const type = TYPES[migrationTarget(queryRunner).dialect];
    // the default is for servers of the version before this one, which go on meanwhile
    await queryRunner.query(
      `ALTER TABLE ${migrationTarget(queryRunner).tables.users} ADD COLUMN revision ${type} NOT NULL DEFAULT 0`,
    );
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    if (!(await hasColumn(queryRunner))) return;
    await queryRunner.query(
      `ALTER TABLE ${migrationTarget(queryRunner).tables.users} DROP COLUMN revision`,
    );
  }
}

const TYPES: Record<DialectId, string> = {
  mysql: 'int unsigned',
  postgres: 'bigint',
  sqlite: 'integer',
};

const name = (queryRunner: QueryRunner) => `${migrationTarget(queryRunner).prefix}room_keys_users`;
const hasColumn = (queryRunner: QueryRunner) =>
  queryRunner.hasColumn(name(queryRunner), 'revision');
