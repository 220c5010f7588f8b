/**
 * Proves that no promise depends on what a PostgreSQL, a role, a database or a host has set for the sessions of the
 * pool: what is acknowledged is stored and read back as it was, and a connection goes back as it came.
 */
import pg from 'pg';
import { DataSource } from 'typeorm';
import { prepareDataSource } from '../../src/index.js';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase, withOptions } from '../support/databases.js';
import { type MatrixClient, roomsBody } from '../support/matrix-client.js';
import { ALL, expectAllPromises, keys, seesOnlyCommitted } from './tricky-keys.js';

type Settings = Record<string, string>;

const postgres = databases.filter(({ name }) => name === 'PostgreSQL');

describe.each(postgres)('sessions on $name', ({ create }) => {
  let database: TestDatabase;
  let application: TestApplication;
  let alice: MatrixClient;

  beforeEach(async () => {
    database = await create();
    application = await startApplication(database);
    await application.close();
  });
  afterEach(async () => {
    await application.close();
    await database.drop();
  });

  /** Has every session begin with these settings. */
  const setInDatabase = async (settings: Settings) => {
    const other = await new DataSource(database.dataSourceOptions).initialize();
    const name = new URL(database.url).pathname.slice(1);
    for (const [setting, value] of Object.entries(settings))
      await other.query(`ALTER DATABASE "${name}" SET ${setting} = ${value}`);
    await other.destroy();
  };
  const start = async (options: Parameters<typeof withOptions>[1] = {}) => {
    application = await startApplication(
      withOptions(database, { poolSize: 3, ...options }),
      {},
      false,
    );
    alice = application.client('alice');
  };
  /** As a host does that sets up its connections; from now on, so that the driver has its own settings. */
  const setInSessions = async (settings: Settings) => {
    const { master } = application.dataSource.driver as unknown as { master: pg.Pool };
    const statements = Object.entries(settings).map(([name, value]) => `SET ${name} = ${value}`);
    master.on('connect', (client) => void client.query(statements.join('; ')));
    // the one that the start has made
    const client = await master.connect();
    client.release(true);
  };

  it.each<Settings>([
    { default_transaction_isolation: "'serializable'" },
    { default_transaction_isolation: "'repeatable read'" },
    { default_transaction_read_only: 'on' },
    { default_transaction_deferrable: 'on', default_transaction_isolation: "'serializable'" },
    { standard_conforming_strings: 'off' },
    { standard_conforming_strings: 'off', backslash_quote: 'off', escape_string_warning: 'off' },
    { bytea_output: "'escape'" },
    { client_encoding: "'LATIN1'" },
    { client_encoding: "'SJIS'", bytea_output: "'escape'", standard_conforming_strings: 'off' },
    { client_encoding: "'SQL_ASCII'" },
    { search_path: "''" },
    { search_path: "'nowhere', 'pg_catalog'" },
    { lock_timeout: '1', idle_in_transaction_session_timeout: '1' },
    { timezone: "'Australia/Lord_Howe'", datestyle: "'German'", lc_numeric: "'C'" },
    { transform_null_equals: 'on' },
    { synchronous_commit: 'off' },
    { enable_seqscan: 'off', enable_indexscan: 'off', jit: 'on', jit_above_cost: '0' },
  ])('with %j keep all promises', async (settings) => {
    await start();
    await setInSessions(settings);
    await expectAllPromises(database, alice);
  });

  it.each<Settings>([
    { default_transaction_isolation: "'serializable'", default_transaction_read_only: 'on' },
    { standard_conforming_strings: 'off', bytea_output: "'escape'" },
    { lock_timeout: '1', idle_in_transaction_session_timeout: '1', timezone: "'Asia/Kathmandu'" },
  ])('of a database with %j keep all promises', async (settings) => {
    await setInDatabase(settings);
    await start();
    await expectAllPromises({ ...database, ...writable(database) }, alice);
  });

  it('get back what was set otherwise for a transaction', async () => {
    await start({ poolSize: 1 });
    await setInSessions({
      default_transaction_isolation: "'serializable'",
      default_transaction_read_only: 'on',
      lock_timeout: "'7s'",
      statement_timeout: "'600s'",
      idle_in_transaction_session_timeout: "'8s'",
      bytea_output: "'escape'",
    });
    await alice.createBackup();
    await alice.put(ALL, roomsBody(keys(3)));
    await alice.get(ALL);
    const [row] = await application.dataSource.query<{ found: string }[]>(
      `SELECT concat_ws(' ', ${[
        'transaction_isolation',
        'transaction_read_only',
        'lock_timeout',
        'statement_timeout',
        'idle_in_transaction_session_timeout',
        'bytea_output',
      ]
        .map((name) => `current_setting('${name}')`)
        .join()}) AS found`,
    );
    expect(row?.found).toBe('serializable on 7s 10min 8s escape');
  });

  it.each(["'read uncommitted'", "'serializable'"])(
    'that are %s see no key that is not committed, and acknowledge none for it',
    async (isolation) => {
      await start();
      await setInSessions({ default_transaction_isolation: isolation });
      await seesOnlyCommitted(database, alice);
    },
  );

  it('of a host that parses types in its own way keep all promises', async () => {
    const { builtins } = pg.types;
    const types = [builtins.BYTEA, builtins.INT8, builtins.INT4, builtins.INT2, builtins.TEXT];
    const usual = types.map((type) => [type, pg.types.getTypeParser(type)] as const);
    await start();
    for (const type of types) pg.types.setTypeParser(type, (text) => ({ text }));
    try {
      await alice.createBackup();
      await alice.put(ALL, roomsBody(keys(30)));
      expect((await alice.get(ALL)).body).toEqual(roomsBody(keys(30)));
      expect((await alice.get('/version')).body).toMatchObject({ count: 30, etag: '1' });
    } finally {
      for (const [type, parser] of usual) pg.types.setTypeParser(type, parser);
    }
  });

  it.each<[string, string]>([['synchronous_commit', 'loses the most recent keys']])(
    'are reported at the start with %s off',
    async (setting, loss) => {
      await setInDatabase({ [setting]: 'off' });
      await start();
      const warnings: unknown[] = [];
      const ignore = () => undefined;
      const warn = (message: unknown) => warnings.push(message);
      application.app.useLogger({ log: ignore, warn, error: ignore });
      await prepareDataSource(application.dataSource);
      expect(warnings).toContainEqual(
        expect.stringMatching(
          new RegExp(`^${setting} of the database is off: .*${loss}.*Set ${setting}=on\\.$`),
        ),
      );
    },
  );
});

/** For the sessions of the test itself. */
function writable(database: TestDatabase) {
  return withOptions(database, { extra: { options: '-c default_transaction_read_only=off' } });
}
