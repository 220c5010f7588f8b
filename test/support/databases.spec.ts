// Proves that every database of this run answers, starts empty, and is gone after drop().
import { DataSource } from 'typeorm';
import { databases, type TestDatabase } from './databases.js';

describe.each(databases)('a test database on $name', ({ name, create }) => {
  let first: TestDatabase;
  let second: TestDatabase;

  beforeAll(async () => {
    [first, second] = await Promise.all([create(), create()]);
  });

  afterAll(async () => {
    await Promise.all([first.drop(), second.drop()]);
  });

  async function query<T>(database: TestDatabase, ...statements: string[]): Promise<T[]> {
    const dataSource = await new DataSource(database.dataSourceOptions).initialize();
    try {
      let rows: T[] = [];
      for (const statement of statements) rows = await dataSource.query(statement);
      return rows;
    } finally {
      await dataSource.destroy();
    }
  }

  it('is served by the database that its name promises', async () => {
    const version = name === 'SQLite' ? 'sqlite_version()' : 'version()';
    const rows = await query<{ version: string }>(first, `SELECT ${version} AS version`);

    expect(rows[0]?.version.includes('MariaDB')).toBe(name === 'MariaDB');
  });

  it('keeps any character', async () => {
    const rows = await query<{ text: string }>(
      first,
      'CREATE TABLE notes (text varchar(20))',
      "INSERT INTO notes VALUES ('🗝️ é')",
      'SELECT text FROM notes',
    );

    expect(rows).toEqual([{ text: '🗝️ é' }]);
  });

  it('shares nothing with the next one', async () => {
    await query(second, 'CREATE TABLE notes (text varchar(20))');

    expect(await query(second, 'SELECT text FROM notes')).toEqual([]);
  });

  it('is gone once dropped', async () => {
    const database = await create();
    await query(database, 'CREATE TABLE notes (text varchar(20))');

    await database.drop();

    await expect(query(database, 'SELECT text FROM notes')).rejects.toThrow();
  });
});
