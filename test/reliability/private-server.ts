import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort, type ServerKind } from '../support/servers.mjs';

/** Recovery after a crash included. */
const STARTS_MS = 300_000;
const KEEPER = fileURLToPath(new URL('../support/keep-server.mjs', import.meta.url));

/** A private database server with durable commits: each is on the disk. */
export class PrivateServer {
  private keeper: ChildProcess | undefined;

  private constructor(
    private readonly kind: ServerKind,
    private readonly folder: string,
    private readonly command: string[],
    readonly url: string,
  ) {}

  static async start(
    kind: ServerKind,
    program: string,
    options: readonly string[] = [],
  ): Promise<PrivateServer> {
    const folder = join(mkdtempSync(join(tmpdir(), 'room-keys-killed-')), kind.id);
    kind.prepareFolder(folder);
    const port = await freePort();
    const command = [...kind.command(program, folder, port), ...options];
    const server = new PrivateServer(kind, folder, command, kind.url(port));
    await server.run([kind.install(program, folder), command]);
    return server;
  }

  async kill(gone: () => Promise<unknown>): Promise<void> {
    const { keeper } = this;
    signalWithChildren(Number(readFileSync(join(this.folder, 'server.pid'), 'utf8')), 'SIGKILL');
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
    const run = {
      run: join(this.folder, '..'),
      folder: join(this.folder, 'nothing'),
      commands,
      stopSignal: this.kind.stopSignal,
    };
    this.keeper = spawn(process.execPath, [KEEPER, JSON.stringify(run)], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    await answers(this.kind, this.url, this.keeper);
  }
}

/** Waits until the server of a URL answers. */
export async function answers(kind: ServerKind, url: string, keeper?: ChildProcess): Promise<void> {
  for (const deadline = Date.now() + STARTS_MS; ;) {
    const version = await kind.serverVersion(url).catch(() => undefined);
    if (version) return;
    await sleep(20);
    if (Date.now() > deadline || (keeper && keeper.exitCode !== null))
      throw new Error(`The database at ${url} does not start`);
  }
}

/** PostgreSQL has a process for each connection: all of them get the signal at once, as where the power fails. */
export function signalWithChildren(pid: number, signal: NodeJS.Signals): void {
  // so that it makes no new ones meanwhile
  process.kill(pid, 'SIGSTOP');
  const processes = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));
  for (const [child, parent] of processes) {
    if (parent !== pid || child === undefined) continue;
    try {
      process.kill(child, signal);
    } catch {
      // it has ended by itself meanwhile
    }
  }
  process.kill(pid, signal);
}
