import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const KEEPER = fileURLToPath(new URL('../support/keep-server.mjs', import.meta.url));

/** What a pipe is. */
interface Handle {
  unref: () => void;
}

/** A server that ends with the test run, however that ends. */
export class KeptProcess {
  /** The last of what it wrote. */
  log = '';
  private readonly keeper: ChildProcess;

  /**
   * @param run a folder, which goes when the test run is interrupted
   * @param folder one within it, made here, which goes with the process
   * @param stopSignal what ends the server, with all of its processes
   */
  constructor(
    run: string,
    folder: string,
    command: readonly string[],
    stopSignal: NodeJS.Signals = 'SIGKILL',
  ) {
    mkdirSync(folder, { recursive: true });
    // the server may run as another user
    chmodSync(folder, 0o777);
    this.keeper = spawn(
      process.execPath,
      [KEEPER, JSON.stringify({ run, folder, commands: [command], stopSignal })],
      { stdio: ['pipe', 'pipe', 'pipe'], detached: true },
    );
    for (const stream of [this.keeper.stdout, this.keeper.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.log = (this.log + text).slice(-20_000);
      });
    }
    // it must never be what keeps the test run alive
    const { stdin, stdout, stderr } = this.keeper as ChildProcess & {
      stdin: Handle;
      stdout: Handle;
      stderr: Handle;
    };
    for (const handle of [this.keeper, stdin, stdout, stderr]) handle.unref();
  }

  get hasEnded(): boolean {
    return this.keeper.exitCode !== null || this.keeper.signalCode !== null;
  }

  /** Resolves when it is gone, for whatever reason. */
  async ended(): Promise<void> {
    if (this.hasEnded) return;
    // now it is waited for
    this.keeper.ref();
    await once(this.keeper, 'exit');
  }

  /** Ends it, unless it has. */
  async stop(): Promise<void> {
    this.keeper.kill('SIGTERM');
    await this.ended();
  }
}
