import { Logger, type OnApplicationBootstrap } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { StorageUnavailableError } from '../storage.errors.js';
import { Database } from './database/database.js';
import { isMissingTable, isReadOnlyFile } from './database/errors.js';
import { checkSettings } from './database/prepare-data-source.js';
import { timeouts } from './database/timeouts.js';
import { roomKeysEntities } from './entities.js';

/** The code of the error that a start ends with where tables or columns are missing. */
const NO_TABLES = 'ROOM_KEYS_NO_TABLES';
/** What clocks of servers may differ by without a word. */
const CLOCK_MS = 60_000;

/** Stops a start that could only end in failing requests, with a sentence that says what to do. */
export class StorageCheck implements OnApplicationBootstrap {
  private readonly logger = new Logger('RoomKeysModule');
  private readonly database: Database;

  constructor(private readonly dataSource: DataSource) {
    this.database = Database.of(dataSource);
  }

  async onApplicationBootstrap(): Promise<void> {
    this.checkNames();
    await this.checkTables();
    await this.checkWritable();
    await checkSettings(this.dataSource);
    await this.compareClocks();
  }

  /** Statements have the names that migrations give: under others, the tables would look as if they were missing. */
  private checkNames(): void {
    const { entityPrefix = '', type } = this.dataSource.options;
    for (const entity of roomKeysEntities(type)) {
      if (!this.dataSource.hasMetadata(entity)) continue;
      const { tableName, givenTableName, columns } = this.dataSource.getMetadata(entity);
      const names = [
        [`${entityPrefix}${givenTableName}`, tableName],
        ...columns.map((column) => [
          column.givenDatabaseName ?? column.propertyName,
          column.databaseName,
        ]),
      ];
      const renamed = names.find(([name, itsName]) => name !== itsName);
      if (!renamed) continue;
      throw new Error(
        `RoomKeysModule: the naming strategy of the DataSource renames '${renamed[0]}' to '${renamed[1]}'. Make it keep explicit names, or give the module its own DataSource.`,
      );
    }
  }

  /**
   * A migration that was not run would show as failing requests, some of them weeks later.
   *
   * @throws Error with code `ROOM_KEYS_NO_TABLES` where tables or columns are missing
   */
  async checkTables(): Promise<void> {
    try {
      await this.query(`SELECT key_set_id FROM ${this.database.tables.keys} LIMIT 0`);
      await this.readColumns();
    } catch (error) {
      // it says more than that they cannot be read
      if (error instanceof StorageUnavailableError) throw error;
      const failure = new Error(
        'RoomKeysModule: its tables cannot be read, or lack columns. Add roomKeysMigrations to `migrations` of your DataSource and run them before the application starts.',
        { cause: error },
      );
      throw isMissingTable(error) ? Object.assign(failure, { code: NO_TABLES }) : failure;
    }
  }

  /** Reads nothing of each column of the module's entities, as far as the DataSource knows of them. */
  private async readColumns(): Promise<void> {
    const { dialect } = this.database;
    for (const entity of roomKeysEntities(this.dataSource.options.type)) {
      // a host may leave them out: statements need none
      if (!this.dataSource.hasMetadata(entity)) continue;
      const { tableName, columns } = this.dataSource.getMetadata(entity);
      const names = columns.map(({ databaseName }) => dialect.quote(databaseName)).join(', ');
      await this.query(`SELECT ${names} FROM ${dialect.table(tableName, this.dataSource)} LIMIT 0`);
    }
  }

  /** A file that cannot be written to is opened all the same, and each upload would be refused. */
  private async checkWritable(): Promise<void> {
    try {
      await this.database.unqueued(
        (connection) =>
          connection.execute(`DELETE FROM ${this.database.tables.keySets} WHERE 1 = 0`),
        timeouts.requestMs,
      );
    } catch (error) {
      // one that takes no writes for another reason may do so later
      if (!isReadOnlyFile(error)) return;
      throw new Error(
        'RoomKeysModule: the database is read-only. Allow the user of this process to write to the file and to its folder.',
        { cause: error },
      );
    }
  }

  /** Times that servers compare are the database's; those in logs and tokens are this machine's. */
  private async compareClocks(): Promise<void> {
    const before = Date.now();
    const [row] = await this.query(`SELECT ${this.database.dialect.now} AS now`);
    const aheadMs = (before + Date.now()) / 2 - Number(row?.now);
    if (Math.abs(aheadMs) < CLOCK_MS) return;
    const minutes = Math.round(Math.abs(aheadMs) / 6000) / 10;
    this.logger.warn(
      `The clock of this machine is ${minutes} minutes ${aheadMs > 0 ? 'ahead of' : 'behind'} that of the database. Correct one of them.`,
    );
  }

  private query(sql: string) {
    return this.database.unqueued((connection) => connection.rows(sql), timeouts.requestMs);
  }
}
