import { DataSource, type QueryRunner } from 'typeorm';
import type { TestDatabase } from './databases.js';
import { query } from './sql.js';
import { waitingForLocks } from './waiting.js';

const waits = async (on: DataSource, statement: 'SELECT' | 'INSERT') => {
  while ((await waitingForLocks(on, statement)).length === 0);
};

/**
 * Has an upload meet a transaction that holds what it wants and wants what it holds, and lose: its transaction is
 * the one that the database gives up.
 *
 * @param upload replaces a key that is stored, with a better one
 * @returns what became of the upload
 */
export async function asVictim<T>(
  { dataSourceOptions }: TestDatabase,
  upload: () => Promise<T>,
): Promise<T> {
  const others = await new DataSource(dataSourceOptions).initialize();
  const stranger = others.createQueryRunner();
  try {
    return dataSourceOptions.type === 'postgres'
      ? await inPostgres(others, stranger, upload)
      : await inMysql(others, stranger, upload);
  } finally {
    await stranger.release();
    await others.destroy();
  }
}

/** The one that has changed fewer rows is the victim. */
async function inMysql<T>(
  others: DataSource,
  stranger: QueryRunner,
  upload: () => Promise<T>,
): Promise<T> {
  await query(stranger, 'CREATE TABLE ballast (id int PRIMARY KEY AUTO_INCREMENT, text char(1))');
  await query(stranger, 'START TRANSACTION');
  await query(stranger, `INSERT INTO ballast (text) VALUES ${Array(100).fill("('x')").join()}`);
  await query(stranger, 'UPDATE room_keys_keys SET device_id = NULL');
  const outcome = upload();
  await waits(others, 'INSERT');
  await query(stranger, 'SELECT * FROM room_keys_users FOR UPDATE');
  await query(stranger, 'ROLLBACK');
  return outcome;
}

/** The one that looks for a deadlock is the victim: the upload, since the other one does not look for an hour. */
async function inPostgres<T>(
  others: DataSource,
  stranger: QueryRunner,
  upload: () => Promise<T>,
): Promise<T> {
  const first = others.createQueryRunner();
  await query(first, 'START TRANSACTION');
  await query(first, 'UPDATE room_keys_keys SET device_id = NULL');
  await query(stranger, "SET deadlock_timeout = '1h'");
  await query(stranger, 'START TRANSACTION');
  await query(stranger, 'UPDATE room_keys_backups SET etag = etag');
  const outcome = upload();
  await waits(others, 'INSERT');
  const wanted = query(stranger, 'SELECT * FROM room_keys_users FOR UPDATE');
  await waits(others, 'SELECT');
  // now the upload goes on to what the stranger holds
  await query(first, 'ROLLBACK');
  await first.release();
  await wanted;
  await query(stranger, 'ROLLBACK');
  return outcome;
}
