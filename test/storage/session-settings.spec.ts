/**
 * Proves that no promise depends on what a server, its `init_connect` or a host has set for the sessions of the
 * pool: what is acknowledged is stored and read back as it was, and a connection goes back as it came.
 */
import { jest } from '@jest/globals';
import type { Pool, PoolOptions } from 'mysql2';
import { DataSource } from 'typeorm';
import { prepareDataSource, RoomKeysMaintenance } from '../../src/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { keyData, keyPath, type MatrixClient, roomsBody } from '../support/matrix-client.js';

const ALL = '/keys?version=1';
const servers = databases.filter(({ name }) => name !== 'SQLite');

/** What is in it would be read differently under one of the settings. */
const TRICKY = keyData({
  first_message_index: 3,
  session_data: {
    quote: "it's",
    double: 'a"b',
    back: 'c\\d',
    end: "\\'",
    accent: 'é',
    nothing: '\0',
  },
});
const keys = (count: number, key: object = TRICKY) =>
  Array.from({ length: count }, (_, n) => [`!é'r${n % 3}:hs1`, `s${n}'\\`, key] as const);

describe.each(servers)('sessions on $name', ({ name, create }) => {
  const isolation = name === 'MariaDB' ? 'tx_isolation' : 'transaction_isolation';
  let database: TestDatabase;
  let application: TestApplication;
  let alice: MatrixClient;

  const start = async (options: object = {}) => {
    database = await create();
    application = await startApplication({
      ...database,
      dataSourceOptions: { ...database.dataSourceOptions, poolSize: 3, ...options } as never,
    });
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
    // those that the start has made and used are known already
    await Promise.all(
      Array.from({ length: 3 }, async () => {
        const runner = application.dataSource.createQueryRunner();
        ((await runner.connect()) as { destroy: () => void }).destroy();
        await runner.release();
      }),
    );
  };

  const everythingHolds = async () => {
    expect(await alice.createBackup({ public_key: "it's", 'é\\': '"' })).toBe('1');
    const uploads = [1, 2, 3].map(() => alice.put(ALL, roomsBody(keys(30))));
    for (const { status, body } of await Promise.all(uploads)) {
      expect(status).toBe(200);
      expect(body.count).toBe(30);
    }
    // by whatever connection, and in another session
    for (let n = 0; n < 6; n += 1) {
      expect((await alice.get(ALL)).body).toEqual(roomsBody(keys(30)));
      expect((await alice.get('/version')).body).toMatchObject({
        count: 30,
        auth_data: { public_key: "it's", 'é\\': '"' },
      });
    }
    const better = { ...TRICKY, is_verified: true };
    expect((await alice.put(ALL, roomsBody(keys(10, better)))).body.count).toBe(30);
    expect((await alice.get(`${keyPath("!é'r1:hs1", "s1'\\")}?version=1`)).body).toEqual(better);
    expect((await alice.delete(`${keyPath("!é'r1:hs1")}?version=1`)).body.count).toBe(20);
    expect((await alice.get('/version')).body.count).toBe(20);
    const other = await new DataSource(database.dataSourceOptions).initialize();
    const [row] = await other.query<{ etag: unknown; count: unknown }[]>(
      'SELECT etag, key_count AS count FROM room_keys_backups',
    );
    expect({ etag: Number(row?.etag), count: Number(row?.count) }).toEqual({ etag: 3, count: 20 });
    const findings: unknown[] = [];
    for await (const finding of new RoomKeysMaintenance(other).verify()) findings.push(finding);
    await other.destroy();
    expect(findings).toEqual([]);
  };

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
    await alice.createBackup();
    await alice.put(ALL, roomsBody([['!r:hs1', 's', TRICKY]]));
    const other = await new DataSource(database.dataSourceOptions).initialize();
    const stranger = other.createQueryRunner();
    await stranger.query('START TRANSACTION');
    await stranger.query('UPDATE room_keys_keys SET is_verified = 1');
    // worse than what is not committed, better than what is
    const better = { ...TRICKY, first_message_index: 1 };
    const upload = alice.put(ALL, roomsBody([['!r:hs1', 's', better]]));
    expect((await alice.get(ALL)).body).toEqual(roomsBody([['!r:hs1', 's', TRICKY]]));
    await stranger.query('ROLLBACK');
    expect((await upload).body).toEqual({ count: 1, etag: '2' });
    expect((await alice.get(ALL)).body).toEqual(roomsBody([['!r:hs1', 's', better]]));
    await stranger.release();
    await other.destroy();
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
    const { url } = database;
    const dataSourceOptions = { type: 'mysql' as const, url, extra };
    // TypeORM's own statements, such as those that look for migrations, may not survive this
    application = await startApplication({ ...database, dataSourceOptions }, {}, false);
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
    await expect(prepareDataSource(dataSource)).rejects.toThrow('set binlog_format=ROW');
    found.set('binlog_format', 'ROW');
    await expect(prepareDataSource(dataSource)).resolves.toEqual({ isCluster: false });
    query.mockRestore();
  });
});
