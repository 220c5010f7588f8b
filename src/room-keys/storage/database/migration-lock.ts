/** What the dialects share about who runs migrations. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type DataSource, type Migration, MigrationExecutor, type QueryRunner } from 'typeorm';

/** How long a process waits for another one that runs migrations. */
export const MIGRATIONS_MS = 60_000;

/** The error of a process that has waited for so long. */
export function stillMigrating(more = '', cause?: unknown): Error {
  return new Error(
    `RoomKeysModule: another server is still running migrations. Start again when it is done.${more}`,
    { cause },
  );
}

/** The first result of `attempt` that is not undefined; undefined where the time is up before. */
export async function withinMigrationTime<T>(
  attempt: () => Promise<T | undefined>,
): Promise<T | undefined> {
  for (const deadline = Date.now() + MIGRATIONS_MS; ;) {
    const result = await attempt();
    if (result !== undefined || Date.now() > deadline) return result;
    await sleep(50 + Math.random() * 100);
  }
}

/** Whether the host wants a transaction for all migrations, for each, or for none. */
export const transactionMode = ({ options }: DataSource): 'all' | 'each' | 'none' =>
  options.migrationsTransactionMode ?? 'all';

/** As `runMigrations` of the DataSource does, on a connection that has the lock: the pool may have no second one. */
export async function migrateOn(dataSource: DataSource, runner: QueryRunner): Promise<Migration[]> {
  const executor = new MigrationExecutor(dataSource, runner);
  executor.transaction = transactionMode(dataSource);
  return executor.executePendingMigrations();
}
