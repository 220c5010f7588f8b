/**
 * Proves that no promise depends on what a server, its `init_connect` or a host has set for the sessions of the
 * pool of mysql2: what is acknowledged is stored and read back as it was, and a connection goes back as it came.
 */
import { jest } from '@jest/globals';
import type { Pool, PoolOptions } from 'mysql2';
import { prepareDataSource } from '../../src/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { mysqlDatabases, type TestDatabase, withOptions } from '../support/databases.js';
import { type MatrixClient, roomsBody } from '../support/matrix-client.js';
import { ALL, expectAllPromises, keys, seesOnlyCommitted } from './tricky-keys.js';

describe.each(mysqlDatabases)('sessions on $name', ({ name, create }) => {
  const isolation = name === 'MariaDB' ? 'tx_isolation' : 'transaction_isolation';
  let database: TestDatabase;
  let application: TestApplication;
  let alice: MatrixClient;

  const start = async (options: object = {}) => {
    database = await create();
    application = await startApplication(withOptions(database, { poolSize: 3, ...options }));
    alice = application.client('alice');
  };
  afterEach(async () => {
    await application.close();
    await database.drop();
  });
  const pool = () => (application.dataSource.driver as unknown as { pool: Pool }).pool;

  /** Sets something in each session before anything else is said in it, as `init_connect` does. */
  const inEachSession = async (statement: string) => {
    const prepared = new WeakSet();
    pool().on('acquire', (connection) => {
      if (prepared.has(connection)) return;
      prepared.add(connection);
      connection.query(statement);
    });
    // Those that the start has made and used are known already. All are lent first: one may still be in use.
    const { poolSize } = application.dataSource.options;
    const runners = Array.from({ length: poolSize! }, () =>
      application.dataSource.createQueryRunner(),
    );
    const lent = await Promise.all(runners.map((runner) => runner.connect()));
    for (const connection of lent) (connection as { destroy: () => void }).destroy();
    await Promise.all(runners.map((runner) => runner.release()));
  };

  const everythingHolds = () => expectAllPromises(database, alice);

  it.each([
    ['autocommit = 0'],
    ["completion_type = 'CHAIN'"],
    ["completion_type = 'RELEASE'"],
    ['sql_select_limit = 1'],
    ['sql_select_limit = 0'],
    ['unique_checks = 0'],
    [`${isolation} = 'READ-UNCOMMITTED'`],
    [`${isolation} = 'READ-COMMITTED'`],
    [`${isolation} = 'SERIALIZABLE'`],
    ["sql_mode = 'NO_BACKSLASH_ESCAPES'"],
    ["sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT'"],
    ["sql_mode = ''"],
    ['sql_safe_updates = 1'],
    ['sql_auto_is_null = 1'],
    ["time_zone = '+11:00'"],
    [
      'character_set_client = latin1, character_set_connection = latin1, character_set_results = latin1',
    ],
    ['character_set_results = utf16'],
    [
      `autocommit = 0, completion_type = 'CHAIN', sql_select_limit = 2, ${isolation} = 'READ-UNCOMMITTED'`,
    ],
  ])('with %s keep all promises', async (setting) => {
    await start();
    await inEachSession(`SET SESSION ${setting}`);
    await everythingHolds();
  });

  it('are left alone where they are as usual', async () => {
    await start({ poolSize: 1 });
    const count = async () => {
      const [row] = await application.dataSource.query<{ Value: string }[]>(
        "SHOW SESSION STATUS LIKE 'Com_set_option'",
      );
      return Number(row?.Value);
    };
    const before = await count();
    await alice.createBackup();
    await alice.put(ALL, roomsBody(keys(3)));
    await alice.get(ALL);
    expect(await count()).toBe(before);
  });

  it('get back what was set otherwise for a statement', async () => {
    await start({ poolSize: 1 });
    await inEachSession(
      `SET SESSION autocommit = 0, sql_select_limit = 7, unique_checks = 0, ${isolation} = 'READ-UNCOMMITTED'`,
    );
    await alice.createBackup();
    await alice.put(ALL, roomsBody(keys(3)));
    await alice.get(ALL);
    const [row] = await application.dataSource.query<Record<string, unknown>[]>(
      `SELECT CONCAT(@@autocommit, ' ', @@sql_select_limit, ' ', @@unique_checks, ' ', @@${isolation}) AS found`,
    );
    expect(row?.found).toMatch(/^(0|OFF) 7 (0|OFF) READ-UNCOMMITTED$/);
  });

  it('see no key that is not committed, and acknowledge none for it', async () => {
    await start();
    await inEachSession(`SET SESSION ${isolation} = 'READ-UNCOMMITTED'`);
    await seesOnlyCommitted(database, alice);
  });

  const hostOptions: [what: string, extra: PoolOptions][] = [
    [
      'a typeCast that makes text of bytes',
      {
        typeCast: (field, next) =>
          field.type === 'VAR_STRING' || field.type === 'STRING' ? field.string() : next(),
      },
    ],
    ['bigNumberStrings', { supportBigNumbers: true, bigNumberStrings: true }],
    ['named placeholders', { namedPlaceholders: true }],
    ['no FOUND_ROWS', { flags: ['-FOUND_ROWS'] }],
  ];
  it.each(hostOptions)('of a host with %s keep all promises', async (_, extra) => {
    database = await create();
    const migrated = await startApplication(database);
    await migrated.close();
    // TypeORM's own statements, such as those that look for migrations, may not survive this
    application = await startApplication(withOptions(database, { extra }), {}, false);
    alice = application.client('alice');
    await everythingHolds();
  });

  it('are refused at the start where nothing could be stored', async () => {
    await start();
    const found = new Map([
      ['log_bin', 'ON'],
      ['binlog_format', 'STATEMENT'],
      [isolation, 'READ-COMMITTED'],
    ]);
    const { dataSource } = application;
    const query = jest.spyOn(dataSource, 'query');
    query.mockImplementation(((sql: string) =>
      Promise.resolve(
        sql.includes('binlog_format')
          ? [...found].map(([Variable_name, Value]) => ({ Variable_name, Value }))
          : [],
      )) as never);
    await expect(prepareDataSource(dataSource)).rejects.toThrow('Set binlog_format=ROW');
    found.set('binlog_format', 'ROW');
    await expect(prepareDataSource(dataSource)).resolves.toEqual({ isCluster: false });
    query.mockRestore();
  });
});
