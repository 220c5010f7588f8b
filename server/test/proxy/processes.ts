import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export { freePort } from '../../../test/support/servers.mjs';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** Far more than any of them takes to start. */
const START_LIMIT_MS = 240_000;

/** Something that listens, in a process of its own. */
export interface Running {
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** Where the program of a server is; where it is missing, says in one line how to get it, and in CI throws that. */
export function serverProgram(name: string, debianPackage: string): string | undefined {
  const program = findProgram(name);
  if (program) return program;
  const remedy = `apt-get install ${debianPackage}`;
  if (process.env.CI) throw new Error(`${name} is required here: ${remedy}`);
  process.stderr.write(`${name} is left out: it is not installed. To include it, ${remedy}\n`);
  return undefined;
}

/** Debian keeps servers where the PATH of most users does not look. */
function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/**
 * The server as `npm start` runs it, built where needed, beside a homeserver.
 *
 * @param databaseUrl empty, or as another server left it; an SQLite file of its own where it is left out
 * @param settings beside those
 */
export async function startBuiltServer(
  homeserverUrl: string,
  databaseUrl?: string,
  settings: Record<string, string> = {},
): Promise<Running> {
  await promisify(execFile)(process.execPath, ['scripts/build-if-needed.mjs'], { cwd: ROOT });
  const folder = await mkdtemp(join(tmpdir(), 'room-keys-proxy-'));
  const server = await startServer(['server/dist/main.js'], /^Key backup API\s+(http:\/\/[^/]+)/m, {
    cwd: ROOT,
    // Nothing else: the environment of the test run must not matter.
    env: {
      PORT: '0',
      LOG_FORMAT: 'text',
      DATABASE_URL: databaseUrl ?? `sqlite:${join(folder, 'room-keys.db')}`,
      HOMESERVER_URL: homeserverUrl,
      ...settings,
    },
  });
  const stop = async () => {
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  };
  return { url: server.url, stop };
}

/**
 * A server on Node.js, once it has said where it listens.
 *
 * @param address finds the URL in what it says
 * @throws with what it said, where it ends or does not listen in time
 */
export async function startServer(
  parameters: string[],
  address: RegExp,
  options: { cwd: string; env: Record<string, string> },
): Promise<Running> {
  const server = spawn(process.execPath, parameters, options);
  let url: string | undefined;
  const named = (said: string) => {
    url = address.exec(said)?.[1];
    return Promise.resolve(url !== undefined);
  };
  const stop = () => end(server);
  await ready(server, named, stop);
  return { url: url!, stop };
}

/** A proxy, once it takes connections at `host:port`. */
export async function startProxy(
  program: string,
  parameters: string[],
  at: string,
  environment: Record<string, string> = {},
): Promise<Running> {
  const url = `http://${at}`;
  return startDaemon(program, parameters, url, () => fetch(url), environment);
}

/** Anything else that listens, once `ask` succeeds. */
export async function startDaemon(
  program: string,
  parameters: string[],
  url: string,
  call: () => Promise<unknown>,
  environment: Record<string, string> = {},
): Promise<Running> {
  const daemon = spawn(program, parameters, { env: { ...process.env, ...environment } });
  const answers = async () => {
    try {
      await call();
      return true;
    } catch {
      return false;
    }
  };
  const stop = () => end(daemon);
  await ready(daemon, answers, stop);
  return { url, stop };
}

/** Waits until a process is ready; where that is not in time, ends it, and throws what it said. */
async function ready(
  child: ChildProcess,
  isReady: (said: string) => Promise<boolean>,
  stop: () => Promise<void>,
): Promise<void> {
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => (said += text));
  const until = performance.now() + START_LIMIT_MS;
  while (child.exitCode === null && performance.now() < until) {
    if (await isReady(said)) return;
    await sleep(50);
  }
  await stop();
  throw new Error(`${child.spawnfile} did not serve: ${said}`);
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000);
  await gone;
  clearTimeout(timer);
}
