/** The DataSource of TypeORM's command line: `DATABASE_URL=mysql://… npm run typeorm -- migration:run`. */
import { DataSource } from 'typeorm';
import { roomKeysEntities, roomKeysMigrations } from './src/index.js';

const url = new URL(process.env.DATABASE_URL ?? 'sqlite:data/room-keys.db');

export default new DataSource(
  url.protocol === 'sqlite:'
    ? {
        type: 'better-sqlite3',
        database: decodeURIComponent(url.pathname),
        enableWAL: true,
        entities: roomKeysEntities('better-sqlite3'),
        migrations: roomKeysMigrations,
      }
    : {
        type: 'mysql',
        url: url.href,
        entities: roomKeysEntities('mysql'),
        migrations: roomKeysMigrations,
      },
);
