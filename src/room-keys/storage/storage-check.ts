import type { OnApplicationBootstrap } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { familyOf } from './database-family.js';

/** Stops a start that could only end in failing requests, with a sentence that says what to do. */
export class StorageCheck implements OnApplicationBootstrap {
  constructor(private readonly dataSource: DataSource) {}

  async onApplicationBootstrap(): Promise<void> {
    const prefix = this.dataSource.options.entityPrefix ?? '';
    try {
      await this.dataSource.query(`SELECT key_set_id FROM \`${prefix}room_keys_keys\` LIMIT 1`);
    } catch (error) {
      throw new Error(
        'RoomKeysModule: its tables cannot be read: add roomKeysMigrations to `migrations` of your DataSource and run them before the application starts.',
        { cause: error },
      );
    }
    if (familyOf(this.dataSource.options.type) === 'mysql') await this.checkSqlMode();
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
