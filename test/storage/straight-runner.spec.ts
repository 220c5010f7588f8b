/** Proves that a host hears of the module's statements as it hears of those of TypeORM: in its log, in its subscribers, in errors. */
import {
  DataSource,
  type EntitySubscriberInterface,
  EventSubscriber,
  QueryFailedError,
} from 'typeorm';
import { straightRunner } from '../../src/room-keys/storage/straight-runner.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { recordStatements } from '../support/statements.js';

describe.each(databases)('a statement on $name', ({ create }) => {
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
    return straightRunner(dataSource);
  };
  afterEach(() => dataSource.destroy());

  it('is in the log, with those that begin and end its transaction', async () => {
    const runner = await connect();
    const { byRunner, stop } = recordStatements(dataSource);
    await runner.startTransaction();
    const rows: unknown = await runner.query('SELECT ? AS answer', ['yes']);
    await runner.commitTransaction();
    stop();
    await runner.release();
    expect(JSON.stringify(rows)).toBe('[{"answer":"yes"}]');
    expect(byRunner.get(runner)?.map((sql) => sql.split(' ')[0])).toEqual([
      expect.stringMatching(/START|BEGIN/),
      'SELECT',
      'COMMIT',
    ]);
  });

  it('that fails is in the log of errors, and fails as it does in TypeORM', async () => {
    const runner = await connect();
    const failed: string[] = [];
    const { logger } = dataSource;
    logger.logQueryError = (_, sql) => failed.push(sql);
    const theirs = dataSource.createQueryRunner();
    const wrong = 'SELECT * FROM nowhere WHERE a = ?';
    const errorOf = (query: Promise<unknown>) => query.catch((error: unknown) => error);
    const ours = await errorOf(runner.query(wrong, ['b']));
    const expected = await errorOf(theirs.query(wrong, ['b']));
    await runner.release();
    await theirs.release();
    expect(failed).toEqual([wrong, wrong]);
    expect(ours).toBeInstanceOf(QueryFailedError);
    expect(ours).toMatchObject({ ...(expected as object), driverError: expect.anything() });
    expect((ours as Error).message).toBe((expected as Error).message);
  });

  it('tells how many rows it changed', async () => {
    const runner = await connect();
    await runner.query('CREATE TABLE numbers (n integer)');
    await runner.query('INSERT INTO numbers VALUES (1), (2), (3)');
    const { affected } = await runner.query('DELETE FROM numbers WHERE n > ?', [1], true);
    await runner.query('DROP TABLE numbers');
    await runner.release();
    expect(affected).toBe(2);
  });

  it('is told to the subscribers of a host', async () => {
    const told: string[] = [];
    @EventSubscriber()
    class Listener implements EntitySubscriberInterface {
      beforeQuery({ query }: { query: string }) {
        told.push(query);
      }
    }
    const runner = await connect({ subscribers: [Listener] });
    await runner.query('SELECT 1');
    await runner.release();
    expect(told).toContain('SELECT 1');
  });

  it('is reported as slow where a host asks for that', async () => {
    const runner = await connect({ maxQueryExecutionTime: 1 });
    const slow: string[] = [];
    dataSource.logger.logQuerySlow = (_, sql) => slow.push(sql);
    await runner.query(
      database.url.startsWith('sqlite:')
        ? 'WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000000) SELECT COUNT(*) FROM numbers'
        : 'SELECT SLEEP(0.1)',
    );
    await runner.release();
    expect(slow.length).toBeGreaterThan(0);
  });

  it('is refused by a runner that was released', async () => {
    const runner = await connect();
    await runner.query('SELECT 1');
    await runner.release();
    if (database.url.startsWith('sqlite:')) return; // TypeORM never releases SQLite's
    await expect(runner.query('SELECT 1')).rejects.toThrow('released');
  });
});
