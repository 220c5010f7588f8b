/** Proves that a host's log has the module's statements as it has those of TypeORM, errors included. */
import { DataSource, QueryFailedError } from 'typeorm';
import { Database } from '../../src/room-keys/storage/database/database.js';
import { type DatabaseName, databases, type TestDatabase } from '../support/databases.js';
import { query } from '../support/sql.js';
import { recordStatements } from '../support/statements.js';

const mysqlSlow = 'SELECT SLEEP(0.1)';
const SLOW: Record<DatabaseName, string> = {
  SQLite:
    'WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000000) SELECT COUNT(*) FROM numbers',
  MariaDB: mysqlSlow,
  MySQL: mysqlSlow,
  PostgreSQL: 'SELECT pg_sleep(0.1)',
};

describe.each(databases)('a statement on $name', ({ name, create }) => {
  let database: TestDatabase;
  let dataSource: DataSource;

  beforeAll(async () => {
    database = await create();
  });
  afterAll(() => database.drop());

  const connect = async (options: object = {}) => {
    dataSource = await new DataSource({
      ...database.dataSourceOptions,
      ...options,
    }).initialize();
    return Database.of(dataSource);
  };
  afterEach(() => dataSource.destroy());

  it('is in the log, with those that begin and end its transaction', async () => {
    const opened = await connect();
    const { byRunner, stop } = recordStatements(dataSource);
    const rows = await opened.change('user', (connection) =>
      connection.rows('SELECT ? AS answer', ['yes']),
    );
    stop();
    expect(JSON.stringify(rows)).toBe('[{"answer":"yes"}]');
    expect([...byRunner.values()]).toEqual([
      [
        expect.stringMatching(/^(START|BEGIN) /),
        expect.stringMatching(/^SELECT /),
        // on a new connection of PostgreSQL it says whether it waited for a standby
        expect.stringMatching(/^(SELECT pg_current_xact_id_if_assigned\(\)[^;]*; )?COMMIT/),
      ],
    ]);
  });

  it('that fails is in the log of errors, and fails as it does in TypeORM', async () => {
    const opened = await connect();
    const failed: string[] = [];
    dataSource.logger.logQueryError = (_, sql) => failed.push(sql);
    const wrong = 'SELECT * FROM nowhere WHERE a = ?';
    const errorOf = (query: Promise<unknown>) => query.catch((error: unknown) => error);
    const ours = await errorOf(
      opened.read('user', (connection) => connection.rows(wrong, [Buffer.from('b')])),
    );
    const expected = await errorOf(query(dataSource, wrong, [Buffer.from('b')]));
    expect(failed).toEqual([wrong, (expected as QueryFailedError).query]);
    expect(ours).toBeInstanceOf(QueryFailedError);
    const { code, errno, sqlState } = expected as Record<string, unknown>;
    expect(ours).toMatchObject({ code, query: wrong });
    expect({
      errno: (ours as Record<string, unknown>).errno,
      sqlState: (ours as Record<string, unknown>).sqlState,
    }).toEqual({ errno, sqlState });
  });

  it('tells how many rows it changed', async () => {
    const opened = await connect();
    await dataSource.query('CREATE TABLE numbers (n integer)');
    const { affected } = await opened.change('user', async (connection) => {
      await connection.execute('INSERT INTO numbers VALUES (1), (2), (3)');
      return connection.execute('DELETE FROM numbers WHERE n > ?', [1]);
    });
    await dataSource.query('DROP TABLE numbers');
    expect(affected).toBe(2);
  });

  it('is reported as slow if a host configures that', async () => {
    const opened = await connect({ maxQueryExecutionTime: 1 });
    const slow: string[] = [];
    dataSource.logger.logQuerySlow = (_, sql) => slow.push(sql);
    await opened.read('user', (connection) => connection.rows(SLOW[name]));
    expect(slow.length).toBeGreaterThan(0);
  });

  it('rolls its transaction back where the work fails', async () => {
    const opened = await connect();
    await dataSource.query('CREATE TABLE numbers (n integer)');
    const failing = opened.change('user', async (connection) => {
      await connection.execute('INSERT INTO numbers VALUES (1)');
      throw new Error('given up');
    });
    await expect(failing).rejects.toThrow('given up');
    expect(await dataSource.query('SELECT n FROM numbers')).toEqual([]);
    await dataSource.query('DROP TABLE numbers');
  });
});
