import type { MigrationInterface, QueryRunner } from 'typeorm';
import type { DialectId } from '../database/dialects.js';
import type { Tables } from '../database/dialect.js';
import { migrationTarget } from './migration-target.js';

/** Creates the five tables. What the columns mean is said in the entities. */
export class CreateRoomKeys1764000000000 implements MigrationInterface {
  name = 'CreateRoomKeys1764000000000';

  async up(queryRunner: QueryRunner): Promise<void> {
    const { dialect, prefix, tables } = migrationTarget(queryRunner);
    // MySQL has the statements for that
    if (dialect in CREATES_ONCE && (await queryRunner.hasTable(`${prefix}room_keys_users`))) {
      throw new Error(
        'RoomKeysModule: its tables are there, though no migration has made them, as with `synchronize: true`: record the migrations as done, once, with dataSource.runMigrations({ fake: true }) or typeorm migration:run --fake, and set `synchronize: false`.',
      );
    }
    for (const statement of create[dialect](prefix, tables)) {
      await queryRunner.query(statement);
    }
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    const { keys, rooms, keySets, backups, users } = migrationTarget(queryRunner).tables;
    for (const table of [keys, rooms, keySets, backups, users]) {
      await queryRunner.query(`DROP TABLE IF EXISTS ${table}`);
    }
  }
}

/** Where a migration that breaks off leaves nothing behind, so that its statements need not be repeatable. */
const CREATES_ONCE: Partial<Record<DialectId, true>> = { postgres: true, sqlite: true };

// MySQL commits each DDL statement by itself: IF NOT EXISTS lets a migration that was broken off
// in the middle be run again.
const innodb = 'ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ROW_FORMAT=DYNAMIC';

// Of a table of millions of keys, a fifth is a lot to wait for before what was deleted or replaced is reused.
const vacuumedSooner =
  ' WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.05)';

const create: Record<DialectId, (p: string, tables: Tables) => string[]> = {
  mysql: (p) => [
    `CREATE TABLE IF NOT EXISTS \`${p}room_keys_users\` (
      user_id varbinary(255) NOT NULL,
      last_version bigint NOT NULL,
      current_version bigint NULL,
      PRIMARY KEY (user_id)
    ) ${innodb}`,
    `CREATE TABLE IF NOT EXISTS \`${p}room_keys_backups\` (
      user_id varbinary(255) NOT NULL,
      version bigint NOT NULL,
      key_set_id bigint NOT NULL,
      algorithm varbinary(255) NOT NULL,
      auth_data longtext NOT NULL,
      etag bigint NOT NULL,
      key_count bigint NOT NULL,
      byte_count bigint NOT NULL,
      largest_key bigint NOT NULL,
      next_seq bigint NOT NULL,
      created_at bigint NOT NULL,
      changed_at bigint NOT NULL,
      PRIMARY KEY (user_id, version)
    ) ${innodb}`,
    `CREATE TABLE IF NOT EXISTS \`${p}room_keys_key_sets\` (
      key_set_id bigint NOT NULL AUTO_INCREMENT,
      retired_at bigint NULL,
      PRIMARY KEY (key_set_id),
      INDEX room_keys_key_sets_retired (retired_at)
    ) ${innodb}`,
    `CREATE TABLE IF NOT EXISTS \`${p}room_keys_rooms\` (
      key_set_id bigint NOT NULL,
      room_id varbinary(255) NOT NULL,
      room_no int unsigned NOT NULL,
      PRIMARY KEY (key_set_id, room_id)
    ) ${innodb}`,
    `CREATE TABLE IF NOT EXISTS \`${p}room_keys_keys\` (
      key_set_id bigint NOT NULL,
      room_no int unsigned NOT NULL,
      seq int unsigned NOT NULL,
      id_hash binary(16) NOT NULL,
      session_id varbinary(255) NOT NULL,
      first_message_index bigint NOT NULL,
      forwarded_count bigint NOT NULL,
      is_verified tinyint NOT NULL,
      device_id varbinary(255) NULL,
      session_data longtext NOT NULL,
      PRIMARY KEY (key_set_id, room_no, seq),
      UNIQUE INDEX room_keys_keys_id (key_set_id, id_hash)
    ) ${innodb}`,
  ],

  postgres: (_p, { users, backups, keySets, rooms, keys }) => [
    `CREATE TABLE ${users} (
      user_id bytea NOT NULL PRIMARY KEY,
      last_version bigint NOT NULL,
      current_version bigint
    )`,
    // Rows of which every upload changes a number keep room in their page for the next states of it (HOT): the
    // indexes need no entry then, and what is out of date goes with the next look at the page, unless an old
    // snapshot may see it. Of 1,500 users' uploads in any order, 100 % were such (96 % in full pages), beside an
    // old snapshot 59 % of the backups' (5 %) and 67 % of the rooms' (9 %).
    `CREATE TABLE ${backups} (
      user_id bytea NOT NULL,
      version bigint NOT NULL,
      key_set_id bigint NOT NULL,
      algorithm bytea NOT NULL,
      auth_data text NOT NULL,
      etag bigint NOT NULL,
      key_count bigint NOT NULL,
      byte_count bigint NOT NULL,
      largest_key bigint NOT NULL,
      next_seq bigint NOT NULL,
      created_at bigint NOT NULL,
      changed_at bigint NOT NULL,
      PRIMARY KEY (user_id, version)
    ) WITH (fillfactor = 50)`,
    `CREATE TABLE ${keySets} (
      key_set_id bigserial PRIMARY KEY,
      retired_at bigint
    )`,
    `CREATE INDEX room_keys_key_sets_retired ON ${keySets} (retired_at)`,
    `CREATE TABLE ${rooms} (
      key_set_id bigint NOT NULL,
      room_id bytea NOT NULL,
      room_no bigint NOT NULL,
      PRIMARY KEY (key_set_id, room_id)
    ) WITH (fillfactor = 70)`,
    `CREATE TABLE ${keys} (
      key_set_id bigint NOT NULL,
      room_no bigint NOT NULL,
      seq bigint NOT NULL,
      id_hash bytea NOT NULL,
      session_id bytea NOT NULL,
      first_message_index bigint NOT NULL,
      forwarded_count bigint NOT NULL,
      is_verified smallint NOT NULL,
      device_id bytea,
      session_data text NOT NULL,
      PRIMARY KEY (key_set_id, room_no, seq)
    )${vacuumedSooner}`,
    `CREATE UNIQUE INDEX room_keys_keys_id ON ${keys} (key_set_id, id_hash)`,
    // Most users have few keys: by its own count, PostgreSQL takes each key set for one of these, and would read
    // all of a large one for the hashes of an upload (370 ms at 100,000 keys in place of 1). Told that there is
    // one set only, it takes the index on the hashes.
    `ALTER TABLE ${keys} ALTER COLUMN key_set_id SET (n_distinct = 1)`,
    `ALTER TABLE ${rooms} ALTER COLUMN key_set_id SET (n_distinct = 1)`,
    // ciphertext cannot be compressed: what is too large for a page goes beside the table as it is
    `ALTER TABLE ${keys} ALTER COLUMN session_data SET STORAGE EXTERNAL`,
    `ALTER TABLE ${backups} ALTER COLUMN auth_data SET STORAGE EXTERNAL`,
  ],

  sqlite: (p) => [
    `CREATE TABLE "${p}room_keys_users" (
      "user_id" blob NOT NULL,
      "last_version" integer NOT NULL,
      "current_version" integer,
      PRIMARY KEY ("user_id")
    )`,
    `CREATE TABLE "${p}room_keys_backups" (
      "user_id" blob NOT NULL,
      "version" integer NOT NULL,
      "key_set_id" integer NOT NULL,
      "algorithm" blob NOT NULL,
      "auth_data" text NOT NULL,
      "etag" integer NOT NULL,
      "key_count" integer NOT NULL,
      "byte_count" integer NOT NULL,
      "largest_key" integer NOT NULL,
      "next_seq" integer NOT NULL,
      "created_at" integer NOT NULL,
      "changed_at" integer NOT NULL,
      PRIMARY KEY ("user_id", "version")
    )`,
    // AUTOINCREMENT: the id of a swept set is not given out again
    `CREATE TABLE "${p}room_keys_key_sets" (
      "key_set_id" integer PRIMARY KEY AUTOINCREMENT NOT NULL,
      "retired_at" integer
    )`,
    `CREATE INDEX "room_keys_key_sets_retired" ON "${p}room_keys_key_sets" ("retired_at")`,
    `CREATE TABLE "${p}room_keys_rooms" (
      "key_set_id" integer NOT NULL,
      "room_id" blob NOT NULL,
      "room_no" integer NOT NULL,
      PRIMARY KEY ("key_set_id", "room_id")
    )`,
    `CREATE TABLE "${p}room_keys_keys" (
      "key_set_id" integer NOT NULL,
      "room_no" integer NOT NULL,
      "seq" integer NOT NULL,
      "id_hash" blob NOT NULL,
      "session_id" blob NOT NULL,
      "first_message_index" integer NOT NULL,
      "forwarded_count" integer NOT NULL,
      "is_verified" integer NOT NULL,
      "device_id" blob,
      "session_data" text NOT NULL,
      PRIMARY KEY ("key_set_id", "room_no", "seq")
    )`,
    `CREATE UNIQUE INDEX "room_keys_keys_id" ON "${p}room_keys_keys" ("key_set_id", "id_hash")`,
  ],
};
