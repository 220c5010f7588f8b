/**
 * Proves the statements of docs/security.md and docs/postgresql.md: with exactly these rights `migrate`, an import and the
 * server work, and with one right less the commands say that the user lacks privileges.
 */
import { randomBytes } from 'node:crypto';
import mysql from 'mysql2/promise';
import { databases } from '../../../test/support/databases.js';
import { withPostgres } from '../../../test/support/server-kinds.mjs';
import { build, ServerProcess } from '../operating/server-process.js';
import { pages } from '../pages.js';
import { command } from './run-command.js';

const API = '/_matrix/client/v3/room_keys';
const LACKS = /^The database user lacks privileges\. /m;
/** PostgreSQL passes over a schema in which it may create nothing. */
const MAY_NOT_CREATE =
  /^The database user lacks privileges\. |the user may not create tables in it\. /;
const run = randomBytes(4).toString('hex');
const named = {
  room_keys_owner: `rk_owner_${run}`,
  room_keys_import: `rk_import_${run}`,
  room_keys: `rk_${run}`,
};

/** The statements of a page after a text, one by one, with names of this run. */
function statementsOf(path: string, after: string, user: string): string[] {
  const page = pages.find((candidate) => candidate.path === path)!;
  const from = page.text.slice(0, page.text.indexOf(after)).split('\n').length;
  const block = page.blocks.find(({ language, line }) => language === 'sql' && line >= from)!;
  return block.text
    .split(/;\n|\n(?=\\)|(?<=^\\.*)\n/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== '')
    .map((statement) =>
      statement
        .replaceAll(
          /(?<!e2e_)\broom_keys(_owner|_import)?\b/g,
          (name) => named[name as 'room_keys'],
        )
        .replaceAll(/'[a-z]+-secret'/g, "'secret'")
        .replaceAll('@127.0.0.1', `@'${user}'`),
    );
}

const SYNAPSE = `
  CREATE TABLE e2e_room_keys (user_id text NOT NULL, room_id text NOT NULL, session_id text NOT NULL, version bigint NOT NULL,
    first_message_index int, forwarded_count int, is_verified boolean, session_data text NOT NULL);
  CREATE TABLE e2e_room_keys_versions (user_id text NOT NULL, version bigint NOT NULL, algorithm text NOT NULL,
    auth_data text NOT NULL, deleted smallint DEFAULT 0 NOT NULL, etag bigint);
  INSERT INTO e2e_room_keys_versions VALUES ('@alice:hs1', 1, 'm.megolm_backup.v1.curve25519-aes-sha2', '{"public_key":"a"}', 0, 1);
  INSERT INTO e2e_room_keys VALUES ('@alice:hs1', '!r:hs1', 's', 1, 0, 0, false, '{"ciphertext":"c"}')`;

/** What an administrator does on one kind of database. */
interface Administrator {
  /** Runs the page's statements. */
  setUp(): Promise<void>;
  execute(sql: string): Promise<unknown>;
  revoke(right: string, user: string): Promise<unknown>;
  grant(right: string, user: string): Promise<unknown>;
  tearDown(): Promise<void>;
  readonly url: (user: string) => string;
}

function mysqlAdministrator(server: string): Administrator {
  const host = '%';
  const execute = async (sql: string) => {
    const connection = await mysql.createConnection(server);
    try {
      return await connection.query(sql);
    } finally {
      await connection.end();
    }
  };
  const change = (words: string, user: string) => execute(`${words} '${user}'@'${host}'`);
  return {
    execute,
    setUp: async () => {
      for (const statement of statementsOf('docs/security.md', 'MySQL and MariaDB, as', host))
        await execute(statement);
    },
    revoke: (right, user) => change(`REVOKE ${right} ON ${named.room_keys}.* FROM`, user),
    grant: (right, user) => change(`GRANT ${right} ON ${named.room_keys}.* TO`, user),
    tearDown: async () => {
      await execute(`DROP DATABASE IF EXISTS ${named.room_keys}`);
      for (const user of [named.room_keys, named.room_keys_owner])
        await execute(`DROP USER IF EXISTS '${user}'@'${host}'`);
    },
    url: (user) => urlOn(server, user),
  };
}

function postgresAdministrator(server: string): Administrator {
  const inside = (sql: string, database = named.room_keys) =>
    withPostgres(withDatabase(server, database), (client) => client.query(sql));
  const outside = (sql: string) => withPostgres(server, (client) => client.query(sql));
  return {
    execute: inside,
    setUp: async () => {
      let execute = outside;
      for (const statement of statementsOf('docs/postgresql.md', '## Roles', '')) {
        if (statement.startsWith('\\connect')) execute = inside;
        else await execute(statement);
      }
    },
    revoke: (right, user) =>
      inside(
        right === 'CREATE'
          ? `ALTER SCHEMA public OWNER TO CURRENT_USER; ALTER DATABASE ${named.room_keys} OWNER TO CURRENT_USER; GRANT CONNECT ON DATABASE ${named.room_keys} TO ${user}`
          : `REVOKE ${right} ON ALL TABLES IN SCHEMA public FROM ${user}`,
      ),
    grant: (right, user) =>
      inside(
        right === 'CREATE'
          ? `ALTER DATABASE ${named.room_keys} OWNER TO ${user}; ALTER SCHEMA public OWNER TO pg_database_owner`
          : `GRANT ${right} ON ALL TABLES IN SCHEMA public TO ${user}`,
      ),
    tearDown: async () => {
      await outside(`DROP DATABASE IF EXISTS ${named.room_keys} WITH (FORCE)`);
      await outside(`DROP ROLE IF EXISTS ${named.room_keys}`);
      await outside(`DROP ROLE IF EXISTS ${named.room_keys_owner}`);
    },
    url: (user) => urlOn(server, user),
  };
}

function urlOn(server: string, user: string): string {
  const url = new URL(withDatabase(server, named.room_keys));
  url.username = user;
  url.password = 'secret';
  return url.href;
}

function withDatabase(server: string, database: string): string {
  const url = new URL(server);
  url.pathname = `/${database}`;
  return url.href;
}

const SOURCE = `rk_synapse_${run}`;

/** Whether there is a PostgreSQL for the tables of Synapse. */
const postgres = process.env.TEST_POSTGRES_URL;

describe.each(databases.filter(({ name }) => name !== 'SQLite'))('on $name', ({ create }) => {
  let administrator: Administrator;
  let owner: string;
  let server: string;

  beforeAll(async () => {
    await build();
    const database = await create();
    await database.drop();
    const { url } = database;
    administrator = url.startsWith('postgres')
      ? postgresAdministrator(withDatabase(url, 'postgres'))
      : mysqlAdministrator(withDatabase(url, ''));
    await administrator.setUp();
    owner = administrator.url(named.room_keys_owner);
    server = administrator.url(named.room_keys);
  });
  afterAll(() => administrator.tearDown());

  it('migrate needs to create, and says so', async () => {
    await administrator.revoke('CREATE', named.room_keys_owner);
    const refused = await command(['migrate'], { DATABASE_URL: owner });
    expect(refused.err).toMatch(MAY_NOT_CREATE);
    expect(refused.code).toBe(1);
    await administrator.grant('CREATE', named.room_keys_owner);
    expect(await command(['migrate'], { DATABASE_URL: owner })).toMatchObject({ code: 0, err: '' });
    // the server's user is not sufficient
    expect(await command(['migrate'], { DATABASE_URL: server })).toMatchObject({ code: 0 });
  });

  it('the server stores, returns and deletes keys with its rights alone', async () => {
    const running = new ServerProcess({ DATABASE_URL: server, DEV_TOKENS: 'secret=@bob:hs1' });
    try {
      const { url } = await running.serving();
      const send = (method: string, path: string, body?: object) =>
        fetch(`${url}${API}${path}`, {
          method,
          headers: { Authorization: 'Bearer secret' },
          ...(body && { body: JSON.stringify(body) }),
        });
      const backup = { algorithm: 'm.megolm_backup.v1.curve25519-aes-sha2', auth_data: {} };
      const key = { first_message_index: 0, forwarded_count: 0, is_verified: true };
      expect((await send('POST', '/version', backup)).status).toBe(200);
      const keys = { ...key, session_data: { ciphertext: 'c' } };
      expect((await send('PUT', '/keys/!r:hs1/s?version=1', keys)).status).toBe(200);
      const better = { ...keys, first_message_index: 0, is_verified: true, forwarded_count: 0 };
      expect((await send('PUT', '/keys/!r:hs1/s?version=1', better)).status).toBe(200);
      expect(await (await send('GET', '/keys?version=1')).json()).toMatchObject({ rooms: {} });
      expect((await send('DELETE', '/version/1')).status).toBe(200);
    } finally {
      await running.stop();
    }
  });

  it.each([
    ['SELECT', ['stats']],
    ['UPDATE', ['user', 'erase', '@bob:hs1', '--yes']],
    ['DELETE', ['sweep']],
  ])('a command of the server needs %s, and says so', async (right, args) => {
    // something for each of them to do
    await administrator.execute(`DELETE FROM ${tables()}key_sets`);
    await administrator.execute(
      `INSERT INTO ${tables()}key_sets (key_set_id, retired_at) VALUES (99, 1)`,
    );
    await administrator.revoke(right, named.room_keys);
    const { code, err } = await command(args, { DATABASE_URL: server });
    await administrator.grant(right, named.room_keys);
    expect(err).toMatch(LACKS);
    expect(code).toBe(1);
    expect(await command(args, { DATABASE_URL: server })).toMatchObject({ code: 0, err: '' });
  });

  const tables = () =>
    server.startsWith('postgres') ? 'room_keys_' : `${named.room_keys}.room_keys_`;

  (postgres === undefined ? it.skip : it)(
    'an import reads Synapse with its own rights and writes with those of the server',
    async () => {
      const source = (sql: string) =>
        withPostgres(withDatabase(postgres!, SOURCE), (client) => client.query(sql));
      await withPostgres(postgres!, (client) => client.query(`CREATE DATABASE ${SOURCE}`));
      try {
        await source(SYNAPSE);
        for (const statement of statementsOf('docs/security.md', 'An import from Synapse', ''))
          await source(statement);
        const from = new URL(withDatabase(postgres!, SOURCE));
        from.username = named.room_keys_import;
        from.password = 'secret';
        const imported = () =>
          command(['import', 'synapse', '--from', from.href], { DATABASE_URL: server });
        for (const table of ['e2e_room_keys', 'e2e_room_keys_versions']) {
          await source(`REVOKE SELECT ON ${table} FROM ${named.room_keys_import}`);
          expect(await imported()).toMatchObject({
            code: 1,
            err: 'The user may not read the tables of the source. Grant it SELECT on them.\n',
          });
          await source(`GRANT SELECT ON ${table} TO ${named.room_keys_import}`);
        }
        await administrator.revoke('INSERT', named.room_keys);
        expect((await imported()).err).toMatch(LACKS);
        await administrator.grant('INSERT', named.room_keys);
        const done = await imported();
        expect(done.out).toMatch(/^Keys +1 read, 1 written, 0 skipped$/m);
        expect(done.code).toBe(0);
      } finally {
        await withPostgres(postgres!, async (client) => {
          await client.query(`DROP DATABASE ${SOURCE} WITH (FORCE)`);
          await client.query(`DROP ROLE IF EXISTS ${named.room_keys_import}`);
        });
      }
    },
  );
});
