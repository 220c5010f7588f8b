import type { MigrationInterface, QueryRunner } from 'typeorm';
import type { DialectId } from '../database/dialects.js';
import type { Tables } from '../database/dialect.js';
import { migrationTarget } from './migration-target.js';

/**
 * Adds what a deletion that can be undone leaves, and the history of backups: see `DeletedKeysEntity` and
 * `HistoryEntryEntity`. A server of the version before knows neither table, and works beside them.
 */
export class KeepDeletedAndHistory1764000006000 implements MigrationInterface {
  name = 'KeepDeletedAndHistory1764000006000';

  async up(queryRunner: QueryRunner): Promise<void> {
    const { dialect, tables } = migrationTarget(queryRunner);
    for (const statement of createTables(dialect, tables)) await queryRunner.query(statement);
  }

  /** What waits to be undone is removed when its time comes, as if it could not be undone. */
  async down(queryRunner: QueryRunner): Promise<void> {
    const { tables } = migrationTarget(queryRunner);
    await queryRunner.query(`DROP TABLE ${tables.deleted}`);
    await queryRunner.query(`DROP TABLE ${tables.history}`);
  }
}

const innodb = 'ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC';

const types: Record<
  DialectId,
  { id: string; word: string; number: string; text: string; indexed: boolean; table: string }
> = {
  // MySQL commits each DDL statement by itself, and has no CREATE INDEX IF NOT EXISTS: indexes come with the table
  mysql: {
    id: 'varbinary(255)',
    word: 'varbinary(16)',
    number: 'bigint',
    text: 'longtext',
    indexed: true,
    table: innodb,
  },
  postgres: {
    id: 'bytea',
    word: 'bytea',
    number: 'bigint',
    text: 'text',
    indexed: false,
    table: '',
  },
  sqlite: { id: 'blob', word: 'blob', number: 'integer', text: 'text', indexed: false, table: '' },
};

function createTables(dialect: DialectId, { deleted, history }: Tables): string[] {
  const { id, word, number, text, indexed, table } = types[dialect];
  const index = (name: string, column: string) => (indexed ? `, INDEX ${name} (${column})` : '');
  const tables = [
    `CREATE TABLE IF NOT EXISTS ${deleted} (
      key_set_id ${number} NOT NULL,
      room_no ${number} NOT NULL,
      user_id ${id} NOT NULL,
      version ${number} NOT NULL,
      kind ${word} NOT NULL,
      room_id ${id},
      algorithm ${id},
      auth_data ${text},
      etag ${number},
      next_seq ${number},
      created_at ${number},
      changed_at ${number},
      key_count ${number} NOT NULL,
      byte_count ${number} NOT NULL,
      largest_key ${number} NOT NULL,
      deleted_at ${number} NOT NULL,
      PRIMARY KEY (key_set_id, room_no)${index('room_keys_deleted_user', 'user_id')}
    ) ${table}`,
    `CREATE TABLE IF NOT EXISTS ${history} (
      user_id ${id} NOT NULL,
      entry_no ${number} NOT NULL,
      happened_at ${number} NOT NULL,
      what ${word} NOT NULL,
      device_id ${id},
      version ${number},
      current_before ${number},
      current_after ${number},
      key_count ${number} NOT NULL,
      etag ${number},
      PRIMARY KEY (user_id, entry_no)${index('room_keys_history_happened', 'happened_at')}
    ) ${table}`,
  ];
  if (indexed) return tables;
  return [
    ...tables,
    `CREATE INDEX room_keys_deleted_user ON ${deleted} (user_id)`,
    `CREATE INDEX room_keys_history_happened ON ${history} (happened_at)`,
  ];
}
