import type { OnApplicationBootstrap } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { galeraSession } from './causal-reads.js';
import { familyOf } from './database-family.js';
import { roomKeysEntities } from './entities.js';

/** The code of the error that a start ends with where tables or columns are missing. */
const NO_TABLES = 'ROOM_KEYS_NO_TABLES';

/** Stops a start that could only end in failing requests, with a sentence that says what to do. */
export class StorageCheck implements OnApplicationBootstrap {
  constructor(private readonly dataSource: DataSource) {}

  async onApplicationBootstrap(): Promise<void> {
    const prefix = this.dataSource.options.entityPrefix ?? '';
    await this.checkTables(prefix);
    if (familyOf(this.dataSource.options.type) === 'mysql') {
      await this.checkSqlMode();
      await this.checkCluster();
    } else await this.checkWritable(prefix);
  }

  /** A migration that was not run would show as failing requests, some of them weeks later. */
  private async checkTables(prefix: string): Promise<void> {
    try {
      await this.dataSource.query(`SELECT key_set_id FROM \`${prefix}room_keys_keys\` LIMIT 0`);
      await readColumns(this.dataSource);
    } catch (error) {
      const failure = new Error(
        'RoomKeysModule: its tables cannot be read, or lack columns: add roomKeysMigrations to `migrations` of your DataSource and run them before the application starts.',
        { cause: error },
      );
      throw isMissing(error) ? Object.assign(failure, { code: NO_TABLES }) : failure;
    }
  }

  /** SQLite opens a file that it cannot write to all the same, and each upload would be refused. */
  private async checkWritable(prefix: string): Promise<void> {
    try {
      await this.dataSource.query(`DELETE FROM \`${prefix}room_keys_key_sets\` WHERE 1 = 0`);
    } catch (error) {
      if (!(error as { code?: string }).code?.startsWith('SQLITE_READONLY')) return;
      throw new Error(
        'RoomKeysModule: the database is read-only: let the user of this process write to the file and to its folder.',
        { cause: error },
      );
    }
  }

  private async checkCluster(): Promise<void> {
    const session = await galeraSession(this.dataSource);
    if (session && !session.readsCausally) {
      throw new Error(
        'RoomKeysModule: a node of your Galera cluster may not know yet what was stored through another: hand your DataSource to causalReads() once it is initialized, or write wsrep_sync_wait=1 in the configuration of each node.',
      );
    }
  }

  private async checkSqlMode(): Promise<void> {
    const [row] = await this.dataSource.query<{ mode: string }[]>('SELECT @@sql_mode AS mode');
    if (row?.mode.split(',').includes('NO_BACKSLASH_ESCAPES')) {
      throw new Error(
        "RoomKeysModule: mysql2 escapes values with backslashes: take NO_BACKSLASH_ESCAPES out of the database's sql_mode.",
      );
    }
  }
}

/** Reads nothing of each column of the module's entities, as far as the DataSource knows of them. */
async function readColumns(dataSource: DataSource): Promise<void> {
  for (const entity of roomKeysEntities(dataSource.options.type)) {
    // a host may leave them out: statements need none
    if (!dataSource.hasMetadata(entity)) continue;
    const { tablePath, columns } = dataSource.getMetadata(entity);
    const names = columns.map(({ databaseName }) => `\`${databaseName}\``).join(', ');
    await dataSource.query(`SELECT ${names} FROM \`${tablePath}\` LIMIT 0`);
  }
}

/** Whether an error of {@link readColumns} says that a table or a column is not there. */
function isMissing(error: unknown): boolean {
  const { code = '' } = error as { code?: string };
  return ['ER_NO_SUCH_TABLE', 'ER_BAD_FIELD_ERROR', 'SQLITE_ERROR'].includes(code);
}
