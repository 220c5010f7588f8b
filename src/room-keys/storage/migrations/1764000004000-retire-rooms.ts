import type { MigrationInterface, QueryRunner } from 'typeorm';
import type { DialectId } from '../database/dialects.js';
import type { Tables } from '../database/dialect.js';
import { migrationTarget } from './migration-target.js';

/**
 * Lets a room be deleted without removing its rows: see `RetiredRoomEntity`. Rooms get exact counts, the index on
 * the ids of keys lets the rows of a deleted room stand beside new ones, and numbers that count what was ever
 * added to a key set no longer end at 2^32.
 *
 * A server of the version before does not know deleted rooms: stop it before this runs.
 */
export class RetireRooms1764000004000 implements MigrationInterface {
  name = 'RetireRooms1764000004000';

  async up(queryRunner: QueryRunner): Promise<void> {
    const name = nameOf(queryRunner);
    // MySQL commits each DDL statement by itself: each of these can be done again
    const hasCounts = await queryRunner.hasColumn(name('rooms'), 'key_count');
    const { dialect, tables } = migrationTarget(queryRunner);
    for (const statement of up[dialect](name, hasCounts, tables)) {
      await queryRunner.query(statement);
    }
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    const name = nameOf(queryRunner);
    const { dialect, tables } = migrationTarget(queryRunner);
    for (const statement of down[dialect](name, tables)) {
      await queryRunner.query(statement);
    }
  }
}

type NameOf = (table: string) => string;

const nameOf =
  (queryRunner: QueryRunner): NameOf =>
  (table) =>
    `${migrationTarget(queryRunner).prefix}room_keys_${table}`;

const innodb = 'ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC';

const up: Record<DialectId, (name: NameOf, hasCounts: boolean, tables: Tables) => string[]> = {
  mysql: (name, hasCounts) => [
    `CREATE TABLE IF NOT EXISTS \`${name('retired_rooms')}\` (
      key_set_id bigint NOT NULL,
      room_no bigint NOT NULL,
      retired_at bigint NOT NULL,
      PRIMARY KEY (key_set_id, room_no),
      INDEX room_keys_retired_rooms_retired (retired_at)
    ) ${innodb}`,
    `ALTER TABLE \`${name('users')}\` MODIFY revision bigint NOT NULL DEFAULT 0`,
    `ALTER TABLE \`${name('rooms')}\` MODIFY room_no bigint NOT NULL${
      hasCounts
        ? ''
        : ', ADD COLUMN key_count bigint NOT NULL DEFAULT 0, ADD COLUMN byte_count bigint NOT NULL DEFAULT 0'
    }`,
    `ALTER TABLE \`${name('keys')}\` MODIFY room_no bigint NOT NULL, MODIFY seq bigint NOT NULL,
      DROP INDEX room_keys_keys_id, ADD UNIQUE INDEX room_keys_keys_id (key_set_id, id_hash, room_no)`,
    `UPDATE \`${name('rooms')}\` r JOIN (
        SELECT key_set_id, room_no, COUNT(*) AS key_count, SUM(OCTET_LENGTH(session_data)) AS byte_count
        FROM \`${name('keys')}\` GROUP BY key_set_id, room_no
      ) k ON k.key_set_id = r.key_set_id AND k.room_no = r.room_no
      SET r.key_count = k.key_count, r.byte_count = k.byte_count WHERE r.key_set_id >= 0`,
  ],

  postgres: (_name, _hasCounts, { rooms, retiredRooms, keys }) => [
    `CREATE TABLE ${retiredRooms} (
      key_set_id bigint NOT NULL,
      room_no bigint NOT NULL,
      retired_at bigint NOT NULL,
      PRIMARY KEY (key_set_id, room_no)
    )`,
    `CREATE INDEX room_keys_retired_rooms_retired ON ${retiredRooms} (retired_at)`,
    `ALTER TABLE ${rooms} ADD COLUMN key_count bigint NOT NULL DEFAULT 0, ADD COLUMN byte_count bigint NOT NULL DEFAULT 0`,
    `DROP INDEX ${indexOf(keys, 'room_keys_keys_id')}`,
    `CREATE UNIQUE INDEX room_keys_keys_id ON ${keys} (key_set_id, id_hash, room_no)`,
    `UPDATE ${rooms} r SET key_count = k.key_count, byte_count = k.byte_count FROM (
        SELECT key_set_id, room_no, COUNT(*) AS key_count, SUM(OCTET_LENGTH(session_data)) AS byte_count
        FROM ${keys} GROUP BY key_set_id, room_no
      ) k WHERE k.key_set_id = r.key_set_id AND k.room_no = r.room_no`,
  ],

  sqlite: (name) => [
    `CREATE TABLE "${name('retired_rooms')}" (
      "key_set_id" integer NOT NULL,
      "room_no" integer NOT NULL,
      "retired_at" integer NOT NULL,
      PRIMARY KEY ("key_set_id", "room_no")
    )`,
    `CREATE INDEX "room_keys_retired_rooms_retired" ON "${name('retired_rooms')}" ("retired_at")`,
    `ALTER TABLE "${name('rooms')}" ADD COLUMN "key_count" integer NOT NULL DEFAULT 0`,
    `ALTER TABLE "${name('rooms')}" ADD COLUMN "byte_count" integer NOT NULL DEFAULT 0`,
    'DROP INDEX "room_keys_keys_id"',
    `CREATE UNIQUE INDEX "room_keys_keys_id" ON "${name('keys')}" ("key_set_id", "id_hash", "room_no")`,
    `UPDATE "${name('rooms')}" AS r SET (key_count, byte_count) = (
        SELECT COUNT(*), COALESCE(SUM(LENGTH(CAST(session_data AS BLOB))), 0) FROM "${name('keys')}" AS k
        WHERE k.key_set_id = r.key_set_id AND k.room_no = r.room_no
      )`,
  ],
};

const down: Record<DialectId, (name: NameOf, tables: Tables) => string[]> = {
  mysql: (name) => [
    // what waits to be removed would count again
    `DELETE k FROM \`${name('keys')}\` k JOIN \`${name('retired_rooms')}\` r
      ON r.key_set_id = k.key_set_id AND r.room_no = k.room_no`,
    `ALTER TABLE \`${name('keys')}\` MODIFY room_no int unsigned NOT NULL, MODIFY seq int unsigned NOT NULL,
      DROP INDEX room_keys_keys_id, ADD UNIQUE INDEX room_keys_keys_id (key_set_id, id_hash)`,
    `ALTER TABLE \`${name('rooms')}\` MODIFY room_no int unsigned NOT NULL, DROP COLUMN key_count, DROP COLUMN byte_count`,
    `ALTER TABLE \`${name('users')}\` MODIFY revision int unsigned NOT NULL DEFAULT 0`,
    `DROP TABLE \`${name('retired_rooms')}\``,
  ],

  postgres: (_name, { rooms, retiredRooms, keys }) => [
    `DELETE FROM ${keys} k USING ${retiredRooms} r WHERE r.key_set_id = k.key_set_id AND r.room_no = k.room_no`,
    `DROP INDEX ${indexOf(keys, 'room_keys_keys_id')}`,
    `CREATE UNIQUE INDEX room_keys_keys_id ON ${keys} (key_set_id, id_hash)`,
    `ALTER TABLE ${rooms} DROP COLUMN byte_count, DROP COLUMN key_count`,
    `DROP TABLE ${retiredRooms}`,
  ],

  sqlite: (name) => [
    `DELETE FROM "${name('keys')}" WHERE (key_set_id, room_no) IN (SELECT key_set_id, room_no FROM "${name('retired_rooms')}")`,
    'DROP INDEX "room_keys_keys_id"',
    `CREATE UNIQUE INDEX "room_keys_keys_id" ON "${name('keys')}" ("key_set_id", "id_hash")`,
    `ALTER TABLE "${name('rooms')}" DROP COLUMN "byte_count"`,
    `ALTER TABLE "${name('rooms')}" DROP COLUMN "key_count"`,
    `DROP TABLE "${name('retired_rooms')}"`,
  ],
};

/** An index has the schema of its table. */
const indexOf = (table: string, index: string) => table.replace(/"(?:[^"]|"")*"$/, `"${index}"`);
