// Finds the MariaDB and MySQL servers that a test run uses. For each of the two:
//   1. TEST_MARIADB_URL or TEST_MYSQL_URL, a server that is running already; else
//   2. a server program on this machine, started privately: its own data, its own port, nobody's
//      configuration, gone with the test run; else
//   3. none: the reason is told, and the tests run on the rest.
import { execFileSync, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import mysql from 'mysql2/promise';

/** What differs between the two kinds. */
export const kinds = [
  {
    id: 'mariadb',
    name: 'MariaDB',
    variable: 'TEST_MARIADB_URL',
    package: 'mariadb-server',
    programs: ['mariadbd', 'mysqld'],
    install: (program, folder) => [
      onThisMachine(['mariadb-install-db', 'mysql_install_db'])[0] ?? 'mariadb-install-db',
      '--no-defaults',
      `--datadir=${folder}/data`,
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
      ...asRoot,
    ],
    options: [],
  },
  {
    id: 'mysql',
    name: 'MySQL',
    variable: 'TEST_MYSQL_URL',
    package: 'mysql-server',
    programs: ['mysqld'],
    install: (program, folder) => [
      program,
      '--no-defaults',
      '--initialize-insecure',
      `--datadir=${folder}/data`,
      ...asRoot,
    ],
    options: ['--mysqlx=OFF', '--performance-schema=OFF', '--secure-file-priv=NULL'],
  },
];

// Both servers refuse to run as root unless told that it is meant.
const asRoot = process.getuid?.() === 0 ? ['--user=root'] : [];

/** Far more than the installation of the system tables and a start take. */
const START_LIMIT_MS = 240_000;

const keepers = [];

const chosenPorts = new Set();

/**
 * The URL of a running server of that kind, or undefined and one line on stderr.
 * Throws when the server was asked for: by its URL, or by a place among the required ones.
 */
export async function findServer(kind, run, required) {
  const given = process.env[kind.variable];
  if (given) {
    const actual = await kindOf(given).catch((error) => {
      throw new Error(`${kind.variable}: ${error.message || error.code}`);
    });
    if (actual !== kind.id) throw new Error(`${kind.variable} leads to a server of another kind`);
    return given;
  }
  const program = findProgram(kind);
  let reason = 'no server found';
  if (program) {
    try {
      return await startServer(kind, program, run);
    } catch (error) {
      reason = error.message;
    }
  }
  const remedy = `install ${kind.package} or set ${kind.variable}=mysql://user:password@host:3306/`;
  if (required) throw new Error(`${kind.name} is required here: ${reason}; ${remedy}`);
  process.stderr.write(`${kind.name} is left out: ${reason}. To include it, ${remedy}\n`);
  return undefined;
}

/** Where a server program of that kind is on this machine; undefined where none is. */
export function findProgram(kind) {
  return onThisMachine(kind.programs).find((path) => kindOfProgram(path) === kind.id);
}

/** What starts a server of one's own in a folder, with everything else as it comes. */
export function serverCommand(kind, program, folder, port) {
  return [
    program,
    '--no-defaults', // has to come first
    `--datadir=${folder}/data`,
    `--socket=${folder}/server.sock`,
    `--pid-file=${folder}/server.pid`,
    `--init-file=${folder}/init.sql`,
    `--port=${port}`,
    '--bind-address=127.0.0.1',
    '--skip-name-resolve',
    ...kind.options,
    ...asRoot,
  ];
}

/** Lays the ground for {@link serverCommand}; its user is `test`. */
export function prepareFolder(folder) {
  mkdirSync(folder);
  // Safe without a password: the server listens on the loopback only, and holds nothing.
  writeFileSync(
    `${folder}/init.sql`,
    "CREATE USER IF NOT EXISTS 'test'@'127.0.0.1';\nGRANT ALL ON *.* TO 'test'@'127.0.0.1' WITH GRANT OPTION;\n",
  );
}

/** Ends the servers that this run started; resolves when they are gone. */
export async function stopServers() {
  await Promise.all(
    keepers.splice(0).map(async (keeper) => {
      if (keeper.exitCode !== null) return;
      // Now it is waited for: else Node would see nothing left to do, and exit with success.
      keeper.ref();
      keeper.stdin.end();
      await once(keeper, 'exit');
    }),
  );
}

/** Drops what an interrupted suite left on a server that outlives this run. */
export async function dropDatabases(url, prefix) {
  const connection = await mysql.createConnection(url);
  const [rows] = await connection.query(
    'SELECT schema_name AS name FROM information_schema.schemata WHERE LEFT(schema_name, ?) = ?',
    [prefix.length, prefix],
  );
  for (const { name } of rows) await connection.query('DROP DATABASE ??', [name]);
  await connection.end();
}

async function startServer(kind, program, run) {
  const folder = join(run, kind.id);
  prepareFolder(folder);
  const port = await freePort();
  const server = [
    ...serverCommand(kind, program, folder, port),
    // Nothing here has to survive a crash; flushing each commit would be most of the tests' time.
    '--skip-log-bin',
    '--innodb-flush-log-at-trx-commit=0',
    '--innodb-doublewrite=0',
  ];
  const commands = [kind.install(program, folder), server];

  const keeper = spawn(
    process.execPath,
    [
      fileURLToPath(new URL('keep-server.mjs', import.meta.url)),
      JSON.stringify({ run, folder, commands }),
    ],
    // Detached: Ctrl-C in the terminal must not reach it before it has cleaned up.
    { stdio: ['pipe', 'pipe', 'pipe'], detached: true },
  );
  keepers.push(keeper);
  let log = '';
  for (const stream of [keeper.stdout, keeper.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => (log = (log + text).slice(-4000)));
  }
  // It may outlast an interrupted run by a moment, but must never be what keeps the run alive.
  for (const handle of [keeper, keeper.stdin, keeper.stdout, keeper.stderr]) handle.unref();

  const url = `mysql://test@127.0.0.1:${port}/`;
  for (const deadline = Date.now() + START_LIMIT_MS; Date.now() < deadline; await delay(50)) {
    if (keeper.exitCode !== null) break;
    const answers = await kindOf(url).catch(() => undefined);
    if (answers) return url;
  }
  const complaint =
    log
      .split('\n')
      .filter((line) => /error/i.test(line))
      .at(0) ?? log.trim().split('\n').at(-1);
  throw new Error(`${program} does not start: ${complaint}`);
}

/** Which kind of server answers there. */
export async function kindOf(url) {
  const connection = await mysql.createConnection(url);
  try {
    const [rows] = await connection.query('SELECT VERSION() AS version');
    return kindOfVersion(rows[0].version);
  } finally {
    await connection.end();
  }
}

// By its version, not by its name: on many systems `mysqld` is a MariaDB.
function kindOfProgram(path) {
  try {
    return kindOfVersion(execFileSync(path, ['--no-defaults', '--version'], { encoding: 'utf8' }));
  } catch {
    return undefined;
  }
}

function kindOfVersion(version) {
  return /mariadb/i.test(version) ? 'mariadb' : 'mysql';
}

function onThisMachine(programs) {
  // Debian and Red Hat keep servers out of an ordinary user's PATH.
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    '/usr/sbin',
    '/usr/local/sbin',
    '/usr/libexec',
  ];
  return programs
    .flatMap((program) => folders.filter(Boolean).map((folder) => join(folder, program)))
    .filter((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/**
 * A port on which nothing listens at the moment. It is below those that systems give to connections and to
 * servers that listen on port 0: one of these would be taken while its server starts, or is away.
 */
export async function freePort() {
  for (;;) {
    const port = randomInt(10_000, 32_000);
    if (chosenPorts.has(port)) continue;
    const probe = createServer().listen(port, '127.0.0.1');
    try {
      await once(probe, 'listening');
    } catch {
      continue;
    }
    chosenPorts.add(port);
    probe.close();
    await once(probe, 'close');
    return port;
  }
}
