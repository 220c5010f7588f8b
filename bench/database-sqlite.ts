import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import type { BenchDatabase } from './database.js';
import { SqliteFloor } from './floor-sqlite.js';
import { waitingDeletions } from './waiting-deletions.js';

/** @param given folder for the file, or nothing */
export function createSqliteDatabase(given: string): Promise<BenchDatabase> {
  // not where temporary files go: that may be memory, and nothing would have to be flushed
  const parent = given === '' ? fileURLToPath(new URL('../data', import.meta.url)) : given;
  mkdirSync(parent, { recursive: true });
  const folder = mkdtempSync(join(parent, 'bench-'));
  const file = join(folder, 'room-keys.db');
  return Promise.resolve({
    description: `SQLite ${sqliteVersion()}`,
    url: `sqlite:${file}`,
    floor: () => Promise.resolve(new SqliteFloor(join(folder, 'floor.db'))),
    cpuMs: () => undefined,
    isSwept: () => {
      const database = new Database(file, { readonly: true });
      const { waiting } = database.prepare<[], { waiting: number }>(waitingDeletions()).get() ?? {};
      database.close();
      return Promise.resolve(waiting === 0);
    },
    bytesOfKeys: () => Promise.resolve(undefined),
    drop: () => {
      rmSync(folder, { recursive: true, force: true });
      return Promise.resolve();
    },
  });
}

function sqliteVersion(): string {
  const database = new Database(':memory:');
  const { version } =
    database.prepare<[], { version: string }>('SELECT sqlite_version() AS version').get() ?? {};
  database.close();
  return version ?? '';
}
