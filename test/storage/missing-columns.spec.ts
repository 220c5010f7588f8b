/**
 * Proves that a start on tables which a migration is missing for ends with a sentence, and not with
 * requests that fail later: each column of each table is needed by one request or another.
 */
import { DataSource } from 'typeorm';
import { startApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';

const ADDED = [
  ['users', 'revision'],
  ['imports', 'source_etag'],
  ['keys', 'device_id'],
] as const;

describe.each(databases)('on $name, tables', ({ create }) => {
  let database: TestDatabase;

  beforeEach(async () => {
    database = await create();
    const application = await startApplication(database);
    await application.close();
  });
  afterEach(() => database.drop());

  it('that are as the migrations leave them are served', async () => {
    const application = await startApplication(database);
    expect((await application.client('alice').get('/version')).status).toBe(404);
    await application.close();
  });

  it.each(ADDED)('%s without %s stop the start', async (table, column) => {
    const other = await new DataSource(database.dataSourceOptions).initialize();
    await other.query(`ALTER TABLE room_keys_${table} DROP COLUMN ${column}`);
    await other.destroy();

    await expect(startApplication(database)).rejects.toThrow(
      /^RoomKeysModule: its tables cannot be read, or lack columns. Add roomKeysMigrations /,
    );
  });
});
