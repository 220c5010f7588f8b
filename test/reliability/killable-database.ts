import { type ChildProcess, exec, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  findProgram,
  freePort,
  kindOf,
  kinds,
  prepareFolder,
  serverCommand,
  type ServerKind,
} from '../support/servers.mjs';

/** Recovery after a crash included. */
const STARTS_MS = 120_000;
const KEEPER = fileURLToPath(new URL('../support/keep-server.mjs', import.meta.url));

/** A database server that nobody else uses, and that keeps its promises: each commit is on the disk. */
export interface KillableDatabase {
  /** Such as `mysql://test@127.0.0.1:40123/`. */
  url: string;
  /**
   * `kill -9`, and a start.
   *
   * @param gone what to wait for before it is started, where the start is ours
   */
  kill: (gone: () => Promise<unknown>) => Promise<void>;
  /** Removes it, unless it is somebody else's. */
  end: () => Promise<void>;
}

/**
 * The kinds that there are, each by what starts one: a command of whoever runs the tests where
 * `TEST_MYSQL_KILL` or `TEST_MARIADB_KILL` holds one for the server of the URL beside it, else a
 * program on this machine.
 */
export const killableDatabases = kinds.flatMap((kind) => {
  const url = process.env[kind.variable];
  const command = process.env[kind.variable.replace('URL', 'KILL')];
  if (url && command) return [{ name: kind.name, start: () => ofCommand(url, command) }];
  const program = findProgram(kind);
  if (program) return [{ name: kind.name, start: () => PrivateServer.start(kind, program) }];
  process.stderr.write(
    `${kind.name} is not killed: ${kind.variable.replace('URL', 'KILL')} is not set.\n`,
  );
  return [];
});

function ofCommand(url: string, command: string): Promise<KillableDatabase> {
  return Promise.resolve({
    url,
    kill: async () => {
      await promisify(exec)(command);
      await answers(url);
    },
    end: () => Promise.resolve(),
  });
}

class PrivateServer implements KillableDatabase {
  private keeper: ChildProcess | undefined;

  private constructor(
    private readonly folder: string,
    private readonly command: string[],
    readonly url: string,
  ) {}

  static async start(kind: ServerKind, program: string): Promise<PrivateServer> {
    const folder = join(mkdtempSync(join(tmpdir(), 'room-keys-killed-')), kind.id);
    prepareFolder(folder);
    const port = await freePort();
    const command = serverCommand(kind, program, folder, port);
    const server = new PrivateServer(folder, command, `mysql://test@127.0.0.1:${port}/`);
    await server.run([kind.install(program, folder), command]);
    return server;
  }

  async kill(gone: () => Promise<unknown>): Promise<void> {
    const { keeper } = this;
    process.kill(Number(readFileSync(join(this.folder, 'server.pid'), 'utf8')), 'SIGKILL');
    if (keeper?.exitCode === null) await once(keeper, 'exit');
    await gone();
    await this.run([this.command]);
  }

  async end(): Promise<void> {
    const { keeper } = this;
    keeper?.stdin?.end();
    if (keeper?.exitCode === null) await once(keeper, 'exit');
  }

  private async run(commands: string[][]): Promise<void> {
    // Who keeps it ends it with this process, however that ends; what a kill leaves behind stays.
    const run = { run: join(this.folder, '..'), folder: join(this.folder, 'nothing'), commands };
    this.keeper = spawn(process.execPath, [KEEPER, JSON.stringify(run)], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    await answers(this.url, this.keeper);
  }
}

async function answers(url: string, keeper?: ChildProcess): Promise<void> {
  for (const deadline = Date.now() + STARTS_MS; ;) {
    const kind = await kindOf(url).catch(() => undefined);
    if (kind) return;
    await sleep(20);
    if (Date.now() > deadline || (keeper && keeper.exitCode !== null))
      throw new Error(`The database at ${url} does not start`);
  }
}
