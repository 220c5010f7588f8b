import type { TypeOrmModuleOptions } from '@nestjs/typeorm';
import { roomKeysEntities, roomKeysMigrations } from 'nestjs-room-keys';
import { CreateUsers1700000000000 } from './users/create-users.migration.js';
import { Session } from './users/session.entity.js';
import { User } from './users/user.entity.js';

/** One DataSource for our tables and for those of nestjs-room-keys. */
export function dataSourceOptions(databaseUrl: string): TypeOrmModuleOptions {
  const url = new URL(databaseUrl);
  const migrations = {
    migrations: [CreateUsers1700000000000, ...roomKeysMigrations],
    migrationsRun: true,
  };
  if (url.protocol === 'sqlite:') {
    const type = 'better-sqlite3';
    return {
      type,
      database: decodeURIComponent(url.pathname),
      enableWAL: true,
      // what was acknowledged survives a loss of power
      prepareDatabase: (database: { pragma(text: string): unknown }) => {
        database.pragma('synchronous = FULL');
      },
      entities: [User, Session, ...roomKeysEntities(type)],
      ...migrations,
    };
  }
  if (url.protocol === 'postgres:' || url.protocol === 'postgresql:') {
    const type = 'postgres';
    return {
      type,
      url: url.href,
      entities: [User, Session, ...roomKeysEntities(type)],
      ...migrations,
    };
  }
  const type = url.protocol === 'mariadb:' ? 'mariadb' : 'mysql';
  url.protocol = 'mysql:';
  return {
    type,
    url: url.href,
    charset: 'utf8mb4',
    entities: [User, Session, ...roomKeysEntities(type)],
    ...migrations,
  };
}
