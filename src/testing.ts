/** For the tests of hosts: `nestjs-room-keys/testing`. */
import type { DataSourceOptions } from 'typeorm';
import type { AccessTokenVerifier } from './room-keys/room-keys-options.interface.js';
import { roomKeysEntities } from './room-keys/storage/entities.js';
import { roomKeysMigrations } from './room-keys/storage/migrations/index.js';

/**
 * A verifier for tests whose tokens name their owner: `alice` is `@alice:localhost`, `alice/PHONE` a device of hers,
 * `guest-zoe` a guest; `unknown` is an unknown token. Never use it for a server that others can reach.
 *
 * @param serverName the part of user ids after the colon
 * @publicApi
 */
export function testTokens(serverName = 'localhost'): AccessTokenVerifier {
  return (token) => {
    if (token === 'unknown') return null;
    const [user = '', deviceId] = token.split('/');
    return { userId: `@${user}:${serverName}`, deviceId, isGuest: user.startsWith('guest-') };
  };
}

/**
 * DataSource options for tests, for `TypeOrmModule.forRoot`: SQLite in memory, with the tables of the module. Needs
 * `better-sqlite3`. Entities and migrations of the host are added.
 *
 * @publicApi
 */
export function inMemoryDatabase({
  entities = [],
  migrations = [],
}: Partial<Pick<InMemoryDatabase, 'entities' | 'migrations'>> = {}): InMemoryDatabase {
  return {
    type: 'better-sqlite3',
    database: ':memory:',
    entities: [...entities, ...roomKeysEntities('better-sqlite3')],
    migrations: [...migrations, ...roomKeysMigrations],
    migrationsRun: true,
  };
}

/** DataSource options of {@link inMemoryDatabase}. */
export interface InMemoryDatabase {
  type: 'better-sqlite3';
  database: string;
  entities: Extract<DataSourceOptions['entities'], unknown[]>;
  migrations: Extract<DataSourceOptions['migrations'], unknown[]>;
  migrationsRun: boolean;
}
