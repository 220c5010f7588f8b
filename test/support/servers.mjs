// Finds the database servers that a test run uses. For each kind:
//   1. TEST_MARIADB_URL, TEST_MYSQL_URL or TEST_POSTGRES_URL, a server that is running already; else
//   2. a server program on this machine, started privately: its own data, its own port, no
//      configuration, gone with the test run; else
//   3. none: the reason is printed, and the tests run on the rest.
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { kinds, programsOnThisMachine } from './server-kinds.mjs';

export { kinds };

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
    const version = await kind.serverVersion(given).catch((error) => {
      throw new Error(`${kind.variable}: ${error.message || error.code}`);
    });
    if (!kind.isVersion(version))
      throw new Error(`${kind.variable} leads to a server of another kind`);
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
  const remedy = `install ${kind.package} or set ${kind.variable}=${kind.example}`;
  if (required) throw new Error(`${kind.name} is required here: ${reason}; ${remedy}`);
  process.stderr.write(`${kind.name} is left out: ${reason}. To include it, ${remedy}\n`);
  return undefined;
}

/** Where a server program of that kind is on this machine; undefined where none is. */
export function findProgram(kind) {
  return programsOnThisMachine(kind.programs).find((path) => {
    try {
      return kind.isVersion(kind.versionOf(path));
    } catch {
      return false;
    }
  });
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

async function startServer(kind, program, run) {
  const folder = join(run, kind.id);
  kind.prepareFolder(folder);
  const port = await freePort();
  // Nothing here has to survive a crash; flushing each commit would be most of the tests' time.
  const server = [...kind.command(program, folder, port), ...kind.carefree];
  const commands = [kind.install(program, folder), server];

  const keeper = spawn(
    process.execPath,
    [
      fileURLToPath(new URL('keep-server.mjs', import.meta.url)),
      JSON.stringify({ run, folder, commands, stopSignal: kind.stopSignal }),
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

  const url = kind.url(port);
  for (const deadline = Date.now() + START_LIMIT_MS; Date.now() < deadline; await delay(50)) {
    if (keeper.exitCode !== null) break;
    const answers = await kind.serverVersion(url).catch(() => undefined);
    if (answers) return url;
  }
  const complaint =
    log
      .split('\n')
      .filter((line) => /error|fatal/i.test(line))
      .at(0) ?? log.trim().split('\n').at(-1);
  throw new Error(`${program} does not start: ${complaint}`);
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
