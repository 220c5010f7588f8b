import {
  type ColumnType,
  type DataSourceOptions,
  EntitySchema,
  type EntitySchemaColumnOptions,
  getMetadataArgsStorage,
} from 'typeorm';
import {
  DeletedKeysEntity,
  KeyRoomEntity,
  KeySetEntity,
  RetiredRoomEntity,
  RoomKeyEntity,
} from './key.entities.js';
import {
  BackupEntity,
  BackupOwnerEntity,
  HistoryEntryEntity,
  ImportedVersionEntity,
} from './user.entities.js';
import { dialectOf } from './database/dialects.js';

const entityClasses = [
  BackupOwnerEntity,
  BackupEntity,
  KeySetEntity,
  KeyRoomEntity,
  RetiredRoomEntity,
  RoomKeyEntity,
  ImportedVersionEntity,
  DeletedKeysEntity,
  HistoryEntryEntity,
] as const;

/**
 * The entities of this module, for `entities` in the host's DataSource options:
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
  const { columnTypes } = dialectOf(type);
  return columnTypes
    ? entityClasses.map((target) => asSchema(target, columnTypes))
    : [...entityClasses];
}

function asSchema(
  target: (typeof entityClasses)[number],
  columnTypes: Readonly<Record<string, ColumnType>>,
): EntitySchema {
  const storage = getMetadataArgsStorage();
  const columns: Record<string, EntitySchemaColumnOptions> = {};
  for (const { propertyName, options } of storage.filterColumns(target)) {
    const type = columnTypes[options.type as string];
    if (!type) throw new Error(`No column type for ${String(options.type)} of ${propertyName}`);
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
