import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** The server as `npm start` runs it: built, in a process of its own. */
export interface StandaloneServer {
  /** Where it says that Swagger UI is. */
  readonly docs: string;
  /** Stops it and removes its database. */
  readonly stop: () => Promise<void>;
}

/**
 * Builds it where needed and starts it with an empty database, on any free port by default.
 *
 * Built, because most of the documentation comes from a plugin of `nest build`.
 */
export async function startServer(developmentTokens: string, port = 0): Promise<StandaloneServer> {
  await build();
  const folder = await mkdtemp(join(tmpdir(), 'room-keys-browser-'));
  const server = spawn(process.execPath, ['server/dist/main.js'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    // Nothing else: the environment of the test run must not matter.
    env: {
      PORT: String(port),
      LOG_FORMAT: 'text',
      DATABASE_URL: `sqlite:${join(folder, 'room-keys.db')}`,
      DEV_TOKENS: developmentTokens,
    },
  });
  const gone = once(server, 'exit');
  let said = '';
  const docs = new Promise<string>((resolve, reject) => {
    for (const stream of [server.stdout, server.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        const [, url] = /^Swagger UI\s+(\S+)$/m.exec(said) ?? [];
        if (url) resolve(url);
      });
    }
    server.once('exit', () => {
      reject(new Error(`The server ended before it served: ${said}`));
    });
  });
  const stop = async () => {
    server.kill('SIGTERM');
    const timer = setTimeout(() => server.kill('SIGKILL'), 5000);
    await gone;
    clearTimeout(timer);
    await rm(folder, { recursive: true, force: true });
  };
  const timer = setTimeout(() => server.kill('SIGKILL'), 240_000);
  try {
    return { docs: await docs, stop };
  } catch (error) {
    await stop();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function build(): Promise<void> {
  const command = ['scripts/build-if-needed.mjs'];
  try {
    await promisify(execFile)(process.execPath, command, { cwd: ROOT, timeout: 120_000 });
  } catch (error) {
    // What the compiler has to say is on its standard output.
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`The build failed: ${stdout}${stderr}`, { cause: error });
  }
}
