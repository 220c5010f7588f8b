// What differs between the database servers that a test run can start or is given.
import { execFileSync } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  mkdirSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import mysql from 'mysql2/promise';
import pg from 'pg';

const isRoot = process.getuid?.() === 0;
// MariaDB and MySQL refuse to run as root without an explicit option.
const asRoot = isRoot ? ['--user=root'] : [];

/** What MariaDB and MySQL have in common. */
const mysqlServer = {
  // safe without a password: the server listens on the loopback only, and holds nothing
  url: (port) => `mysql://test@127.0.0.1:${port}/`,
  example: 'mysql://user:password@host:3306/',
  stopSignal: 'SIGKILL',
  /** Lays the ground for `command`; its user is `test`. */
  prepareFolder: (folder) => {
    mkdirSync(folder);
    writeFileSync(
      `${folder}/init.sql`,
      "CREATE USER IF NOT EXISTS 'test'@'127.0.0.1';\nGRANT ALL ON *.* TO 'test'@'127.0.0.1' WITH GRANT OPTION;\n",
    );
  },
  command: (program, folder, port) => [
    program,
    '--no-defaults', // has to come first
    `--datadir=${folder}/data`,
    // not the system's: a server that starts removes the temporary tables that it finds there, another server's too
    `--tmpdir=${folder}`,
    `--socket=${folder}/server.sock`,
    `--pid-file=${folder}/server.pid`,
    `--init-file=${folder}/init.sql`,
    `--port=${port}`,
    '--bind-address=127.0.0.1',
    '--skip-name-resolve',
    ...asRoot,
  ],
  carefree: ['--skip-log-bin', '--innodb-flush-log-at-trx-commit=0', '--innodb-doublewrite=0'],
  // By its version, not by its name: on many systems `mysqld` is a MariaDB.
  versionOf: (program) =>
    execFileSync(program, ['--no-defaults', '--version'], { encoding: 'utf8' }),
  serverVersion: async (url) => {
    const connection = await mysql.createConnection(url);
    try {
      const [rows] = await connection.query('SELECT VERSION() AS version');
      return rows[0].version;
    } finally {
      await connection.end();
    }
  },
  dropDatabases: async (url, prefix) => {
    const connection = await mysql.createConnection(url);
    const [rows] = await connection.query(
      'SELECT schema_name AS name FROM information_schema.schemata WHERE LEFT(schema_name, ?) = ?',
      [prefix.length, prefix],
    );
    for (const { name } of rows) await connection.query('DROP DATABASE ??', [name]);
    await connection.end();
  },
};

const mariadb = {
  ...mysqlServer,
  id: 'mariadb',
  name: 'MariaDB',
  variable: 'TEST_MARIADB_URL',
  package: 'mariadb-server',
  programs: ['mariadbd', 'mysqld'],
  isVersion: (version) => /mariadb/i.test(version),
  install: (program, folder) => [
    programsOnThisMachine(['mariadb-install-db', 'mysql_install_db'])[0] ?? 'mariadb-install-db',
    '--no-defaults',
    `--datadir=${folder}/data`,
    `--tmpdir=${folder}`,
    '--auth-root-authentication-method=normal',
    '--skip-test-db',
    ...asRoot,
  ],
};

const mysqlKind = {
  ...mysqlServer,
  id: 'mysql',
  name: 'MySQL',
  variable: 'TEST_MYSQL_URL',
  package: 'mysql-server',
  programs: ['mysqld'],
  isVersion: (version) => !/mariadb/i.test(version),
  install: (program, folder) => [
    program,
    '--no-defaults',
    '--initialize-insecure',
    `--datadir=${folder}/data`,
    `--tmpdir=${folder}`,
    ...asRoot,
  ],
  command: (...where) => [
    ...mysqlServer.command(...where),
    '--mysqlx=OFF',
    '--performance-schema=OFF',
    '--secure-file-priv=NULL',
  ],
};

const postgres = {
  id: 'postgres',
  name: 'PostgreSQL',
  variable: 'TEST_POSTGRES_URL',
  package: 'postgresql',
  programs: ['postgres'],
  example: 'postgres://user:password@host:5432/',
  url: (port) => `postgres://test:test@127.0.0.1:${port}/`,
  // SIGKILL would leave its processes and its shared memory behind
  stopSignal: 'SIGQUIT',
  prepareFolder: (folder) => {
    mkdirSync(folder);
    writeFileSync(`${folder}/password`, 'test');
    if (isRoot) chmodSync(dirname(folder), 0o711);
    giveToServer(folder);
    giveToServer(`${folder}/password`);
  },
  install: (program, folder) => [
    ...asSomebodyElse(),
    join(dirname(program), 'initdb'),
    `--pgdata=${folder}/data`,
    '--username=test',
    // without the work that scram makes for each connection, and a wrong password is refused
    '--auth=password',
    `--pwfile=${folder}/password`,
    '--encoding=UTF8',
    '--locale=C',
    '--no-sync',
  ],
  command: (program, folder, port) => [
    ...asSomebodyElse(),
    program,
    '-D',
    `${folder}/data`,
    ...postgresSettings({
      port,
      listen_addresses: '127.0.0.1',
      unix_socket_directories: folder,
      external_pid_file: `${folder}/server.pid`,
      // several test files at once, each with several servers
      max_connections: 500,
    }),
  ],
  carefree: postgresSettings({ fsync: 'off', full_page_writes: 'off' }),
  versionOf: (program) => execFileSync(program, ['--version'], { encoding: 'utf8' }),
  isVersion: (version) => /postgresql/i.test(version),
  serverVersion: (url) =>
    withPostgres(url, async (client) => {
      const { rows } = await client.query('SELECT version()');
      return rows[0].version;
    }),
  dropDatabases: (url, prefix) =>
    withPostgres(url, async (client) => {
      const { rows } = await client.query(
        'SELECT datname AS name FROM pg_database WHERE starts_with(datname, $1)',
        [prefix],
      );
      for (const { name } of rows) await client.query(`DROP DATABASE "${name}" WITH (FORCE)`);
    }),
};

export const kinds = [mariadb, mysqlKind, postgres];

/** A connection to a database that every PostgreSQL has, for `work`. */
export async function withPostgres(url, work) {
  const target = new URL(url);
  if (target.pathname.length < 2) target.pathname = '/postgres';
  const client = new pg.Client({ connectionString: target.href });
  // one that is lost later is reported to the statement
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Where programs of these names are on this machine. */
export function programsOnThisMachine(names) {
  // Debian and Red Hat keep servers out of an ordinary user's PATH.
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    '/usr/sbin',
    '/usr/local/sbin',
    '/usr/libexec',
    ...postgresFolders(),
  ];
  return names
    .flatMap((name) => folders.filter(Boolean).map((folder) => join(folder, name)))
    .filter((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** Where Debian keeps the programs of each version, the newest first. */
function postgresFolders() {
  const folder = '/usr/lib/postgresql';
  try {
    const versions = readdirSync(folder).sort((one, other) => Number(other) - Number(one));
    return versions.map((version) => join(folder, version, 'bin'));
  } catch {
    return [];
  }
}

/** Settings of PostgreSQL as parameters of its server. */
export function postgresSettings(values) {
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/** What comes before a command of PostgreSQL, which never runs as root. */
export function asSomebodyElse() {
  if (!isRoot) return [];
  const { uid, gid } = somebodyElse();
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--'];
}

/** Lets a PostgreSQL that root starts own a file: it takes no key that others own. */
export function giveToServer(path) {
  if (!isRoot) return;
  const { uid, gid } = somebodyElse();
  chownSync(path, uid, gid);
}

function somebodyElse() {
  const idOf = (option, user) => Number(execFileSync('id', [option, user], { stdio: 'pipe' }));
  for (const user of ['postgres', 'nobody']) {
    try {
      return { uid: idOf('-u', user), gid: idOf('-g', user) };
    } catch {
      // there is none of that name
    }
  }
  throw new Error('Root cannot run PostgreSQL, and there is no user postgres or nobody.');
}
