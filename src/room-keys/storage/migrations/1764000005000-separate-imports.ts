import type { MigrationInterface, QueryRunner } from 'typeorm';
import type { Row } from '../database/connection.js';
import type { DialectId } from '../database/dialects.js';
import { hashOf } from '../import-records.js';
import { migrationTarget } from './migration-target.js';

const ROWS_PER_PAGE = 500;

/**
 * Moves what imports remember out of the tables of requests: see `ImportedVersionEntity`.
 *
 * A server of an earlier version reads the columns that go: stop it before this runs.
 */
export class SeparateImports1764000005000 implements MigrationInterface {
  name = 'SeparateImports1764000005000';

  async up(queryRunner: QueryRunner): Promise<void> {
    const { dialect, tables, prefix } = migrationTarget(queryRunner);
    // MySQL commits each DDL statement by itself: each of these can be done again
    await queryRunner.query(createTable(dialect, tables.imports));
    if (await queryRunner.hasColumn(`${prefix}room_keys_backups`, 'mirrored_etag')) {
      await carryImported(queryRunner);
      await queryRunner.query(`ALTER TABLE ${tables.backups} DROP COLUMN mirrored_etag`);
    }
    if (await queryRunner.hasColumn(`${prefix}room_keys_users`, 'withheld_versions')) {
      await carryReserved(queryRunner);
      await queryRunner.query(`ALTER TABLE ${tables.users} DROP COLUMN withheld_versions`);
    }
  }

  /** Backups count as changed by clients afterwards: an import merges keys into them, and no more. */
  async down(queryRunner: QueryRunner): Promise<void> {
    const { dialect, tables } = migrationTarget(queryRunner);
    const { number, text } = types[dialect];
    await queryRunner.query(`ALTER TABLE ${tables.backups} ADD COLUMN mirrored_etag ${number}`);
    await queryRunner.query(`ALTER TABLE ${tables.users} ADD COLUMN withheld_versions ${text}`);
    const reserved = new Map<string, number[]>();
    for (const { user_id: user, version } of await rowsOf(
      queryRunner,
      `SELECT user_id, version FROM ${tables.imports} WHERE source_etag IS NULL ORDER BY user_id, version`,
    )) {
      const userId = (user as Buffer).toString('hex');
      reserved.set(userId, [...(reserved.get(userId) ?? []), Number(version)]);
    }
    for (const [userId, versions] of reserved) {
      const values = migrationTarget(queryRunner).values();
      await queryRunner.query(
        `UPDATE ${tables.users} SET withheld_versions = ${values.ascii(versions.join())}
         WHERE user_id = ${values.hex(userId)}`,
        values.parameters,
      );
    }
    await queryRunner.query(`DROP TABLE ${tables.imports}`);
  }
}

const types: Record<
  DialectId,
  { id: string; number: string; hash: string; text: string; table: string }
> = {
  mysql: {
    id: 'varbinary(255)',
    number: 'bigint',
    hash: 'binary(32)',
    text: 'longtext',
    table: 'ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC',
  },
  postgres: { id: 'bytea', number: 'bigint', hash: 'bytea', text: 'text', table: '' },
  sqlite: { id: 'blob', number: 'integer', hash: 'blob', text: 'text', table: '' },
};

function createTable(dialect: DialectId, name: string): string {
  const { id, number, hash, table } = types[dialect];
  return `CREATE TABLE IF NOT EXISTS ${name} (
    user_id ${id} NOT NULL,
    version ${number} NOT NULL,
    source_etag ${number},
    etag ${number},
    auth_data_hash ${hash},
    PRIMARY KEY (user_id, version)
  ) ${table}`;
}

/** Backups that are as an import left them. */
async function carryImported(queryRunner: QueryRunner): Promise<void> {
  const { tables } = migrationTarget(queryRunner);
  for (let last: Row | undefined; ;) {
    const values = migrationTarget(queryRunner).values();
    const page = await rowsOf(
      queryRunner,
      `SELECT user_id, version, etag, auth_data FROM ${tables.backups} WHERE mirrored_etag = etag
       ${last ? `AND (user_id > ${hexOf(values, last)} OR (user_id = ${hexOf(values, last)} AND version > ${values.integer(Number(last.version))}))` : ''}
       ORDER BY user_id, version LIMIT ${ROWS_PER_PAGE}`,
      values.parameters,
    );
    for (const row of page) {
      const etag = Number(row.etag);
      await insert(queryRunner, row, Number(row.version), etag, hashOf(row.auth_data as string));
    }
    last = page.at(-1);
    if (page.length < ROWS_PER_PAGE) return;
  }
}

/** Versions that no import could take. A backup before one of them was not the current one. */
async function carryReserved(queryRunner: QueryRunner): Promise<void> {
  const { users, backups } = migrationTarget(queryRunner).tables;
  for (const row of await rowsOf(
    queryRunner,
    `SELECT user_id, withheld_versions FROM ${users} WHERE withheld_versions IS NOT NULL`,
  )) {
    for (const version of String(row.withheld_versions).split(',')) {
      await insert(queryRunner, row, Number(version));
    }
  }
  await queryRunner.query(
    `UPDATE ${users} SET current_version =
       (SELECT MAX(b.version) FROM ${backups} b WHERE b.user_id = ${users}.user_id)
     WHERE withheld_versions IS NOT NULL`,
  );
}

async function insert(
  queryRunner: QueryRunner,
  owner: Row,
  version: number,
  etag?: number,
  authDataHash?: string,
): Promise<void> {
  const { tables, values: newValues, onConflict } = migrationTarget(queryRunner);
  const values = newValues();
  const orNull = <T>(value: T | undefined, literal: (value: T) => string) =>
    value === undefined ? 'NULL' : literal(value);
  const row = [
    hexOf(values, owner),
    values.integer(version),
    orNull(etag, (one) => values.integer(one)),
    orNull(etag, (one) => values.integer(one)),
    orNull(authDataHash, (digits) => values.hex(digits)),
  ];
  await queryRunner.query(
    `INSERT INTO ${tables.imports} (user_id, version, source_etag, etag, auth_data_hash)
     VALUES (${row.join(', ')}) ${onConflict('user_id, version')} version = ${tables.imports}.version`,
    values.parameters,
  );
}

const hexOf = (values: { hex(digits: string): string }, { user_id: user }: Row) =>
  values.hex((user as Buffer).toString('hex'));

const rowsOf = (queryRunner: QueryRunner, sql: string, parameters: unknown[] = []) =>
  queryRunner.query(sql, parameters) as Promise<Row[]>;
