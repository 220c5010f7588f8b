import {
  type DataSourceOptions,
  EntitySchema,
  type EntitySchemaColumnOptions,
  getMetadataArgsStorage,
} from 'typeorm';
import { BackupOwnerEntity } from './backup-owner.entity.js';
import { BackupEntity } from './backup.entity.js';
import { KeyRoomEntity } from './key-room.entity.js';
import { KeySetEntity } from './key-set.entity.js';
import { RoomKeyEntity } from './room-key.entity.js';
import { familyOf } from './database-family.js';

const entityClasses = [
  BackupOwnerEntity,
  BackupEntity,
  KeySetEntity,
  KeyRoomEntity,
  RoomKeyEntity,
] as const;

/** SQLite's names for the column types that the entity classes state for MySQL and MariaDB. */
const sqliteTypes: Record<string, 'blob' | 'text' | 'integer'> = {
  varbinary: 'blob',
  binary: 'blob',
  longtext: 'text',
  bigint: 'integer',
  int: 'integer',
  tinyint: 'integer',
};

/**
 * The entities of this module, for `entities` in the options of the host's DataSource:
 * `entities: [User, ...roomKeysEntities('mysql')]`.
 *
 * There is one set of entity classes. TypeORM has no column type that holds bytes as a key, or
 * long text, under the same name in MySQL and in SQLite; for SQLite the same classes come as
 * entity schemas with SQLite's type names.
 *
 * @param type `type` of that DataSource: 'mysql', 'mariadb' or 'better-sqlite3'
 * @publicApi
 */
export function roomKeysEntities(
  type: DataSourceOptions['type'],
): (EntitySchema | (typeof entityClasses)[number])[] {
  return familyOf(type) === 'sqlite' ? entityClasses.map(asSqliteSchema) : [...entityClasses];
}

function asSqliteSchema(target: (typeof entityClasses)[number]): EntitySchema {
  const storage = getMetadataArgsStorage();
  const columns: Record<string, EntitySchemaColumnOptions> = {};
  for (const { propertyName, options } of storage.filterColumns(target)) {
    const type = sqliteTypes[options.type as string];
    if (!type) throw new Error(`No SQLite type for ${String(options.type)} of ${propertyName}`);
    columns[propertyName] = {
      type,
      ...(options.name ? { name: options.name } : {}),
      primary: options.primary ?? false,
      nullable: options.nullable ?? false,
      ...(options.default === undefined ? {} : { default: options.default as number }),
      ...(storage.findGenerated(target, propertyName) ? { generated: 'increment' } : {}),
    };
  }
  return new EntitySchema({
    name: target.name,
    target,
    tableName: storage.filterTables(target)[0]?.name ?? target.name,
    columns,
    indices: storage.filterIndices(target).map((index) => ({
      ...(index.name ? { name: index.name } : {}),
      columns: index.columns as string[],
      unique: index.unique ?? false,
    })),
  });
}
