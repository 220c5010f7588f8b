import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cpuOfProcess, proc } from './processor-time.js';

const root = fileURLToPath(new URL('..', import.meta.url));
/** What `npm start` gives to Node. */
const OPTIONS = ['--max-semi-space-size=4', '--heap-growing-percent=40'];

/** A process that serves, with its children if it has any, and what the operating system says of them. */
export class ServerProcess {
  private constructor(
    private readonly child: ChildProcess,
    /** Such as `http://127.0.0.1:40123`. */
    readonly url: string,
  ) {}

  /**
   * Starts our server as it is built, the way an operator does.
   *
   * @param folder where it is built
   */
  static start(
    settings: Readonly<Record<string, string>>,
    nodeOptions: readonly string[] = [],
    folder = root,
  ): Promise<ServerProcess> {
    const main = resolve(folder, 'server/dist/main.js');
    return ServerProcess.run([...OPTIONS, ...nodeOptions, main], settings);
  }

  /**
   * Runs Node until it prints a URL.
   *
   * @param args of Node, a program among them
   * @param variables beside `PORT`, which is any that is free
   */
  static async run(
    args: readonly string[],
    variables: Readonly<Record<string, string>> = {},
  ): Promise<ServerProcess> {
    const { PATH = '' } = process.env;
    const child = spawn(process.execPath, args, {
      cwd: root,
      env: { PATH, PORT: '0', ...variables },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    for (;;) {
      const [, url] = /(http:\/\/[\d.]+:\d+).*\n/.exec(out) ?? [];
      if (url !== undefined) {
        // its log, a line a request, is nothing to keep
        child.stdout.removeAllListeners('data').resume();
        return new ServerProcess(child, url);
      }
      await Promise.race([once(child.stdout, 'data'), once(child, 'exit')]);
      if (child.exitCode !== null) throw new Error('The server ended before it served.');
    }
  }

  /** Asks it to stop, and waits until it has. */
  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill('SIGTERM');
    await once(this.child, 'exit');
  }

  /**
   * Bytes of memory that it holds now, with its children: what they share counts for each. Undefined
   * where there is no /proc.
   */
  residentBytes(): number | undefined {
    return this.memory('VmRSS');
  }

  /** The most that each held since {@link forgetPeak}, to the kilobyte, added up: the kernel keeps it. */
  peakBytes(): number | undefined {
    return this.memory('VmHWM');
  }

  forgetPeak(): void {
    try {
      for (const pid of this.pids()) writeFileSync(`/proc/${pid}/clear_refs`, '5');
    } catch {
      // no /proc, and so no figure
    }
  }

  /** Milliseconds of processor time that it took so far, in all of its threads and those of its children. */
  cpuMs(): number {
    return this.pids().reduce((sum, pid) => sum + cpuOfProcess(pid), 0);
  }

  /** Its own, and those of its children. */
  private pids(): number[] {
    const { pid } = this.child;
    if (pid === undefined) return [];
    const children = proc(pid, `task/${pid}/children`)?.match(/\d+/g) ?? [];
    return [pid, ...children.map(Number)];
  }

  private memory(name: string): number | undefined {
    return this.pids().reduce<number | undefined>((sum, pid) => {
      const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(proc(pid, 'status') ?? '');
      return match && sum !== undefined ? sum + Number(match[1]) * 1024 : undefined;
    }, 0);
  }
}
