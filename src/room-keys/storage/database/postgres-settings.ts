/** Settings of PostgreSQL that this module cannot make up for. */
import { Logger } from '@nestjs/common';
import type { DataSource } from 'typeorm';

const OLDEST = 15;

/** @throws Error with one sentence that says what to do, for a database on which promises would not hold */
export async function checkPostgresSettings(dataSource: DataSource): Promise<void> {
  await checkTransactions(dataSource);
  const [row] = await dataSource.query<Record<string, string>[]>(
    `SELECT current_setting('server_version_num') AS version, current_setting('server_version') AS name,
       current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes`,
  );
  if (Number(row?.version) < OLDEST * 10_000) {
    throw new Error(
      `RoomKeysModule: the database is PostgreSQL ${row?.name}. Version ${OLDEST} or newer is required.`,
    );
  }
  for (const [setting, loss] of LOSSES) {
    if (row?.[setting] !== 'off') continue;
    new Logger('RoomKeysModule').warn(
      `${setting} of the database is off: ${loss}, although they were acknowledged to clients. Set ${setting}=on.`,
    );
  }
}

/** A pooler that gives each statement another connection would have a change stored by half. */
async function checkTransactions(dataSource: DataSource): Promise<void> {
  try {
    await dataSource.transaction(() => Promise.resolve());
  } catch (error) {
    // whatever else is wrong, statements of requests are answered so as well
    if (!(error as Error).message.includes(STATEMENT_POOLING)) return;
    throw new Error(
      'RoomKeysModule: the pooler in front of PostgreSQL does not allow transactions. Set pool_mode=transaction in the configuration of pgBouncer.',
      { cause: error },
    );
  }
}

/** In what pgBouncer says with `pool_mode=statement`. */
const STATEMENT_POOLING = 'statement pooling mode';

const LOSSES = [
  ['synchronous_commit', 'a crash of the server loses the most recent keys'],
  ['fsync', 'a loss of power can destroy all keys'],
  ['full_page_writes', 'a loss of power can destroy keys'],
] as const;
