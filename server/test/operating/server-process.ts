import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** Far more than anything here takes. */
const TIMEOUT_MS = 240_000;

/** Builds what is to be run, unless it is built. */
export async function build(): Promise<void> {
  await promisify(execFile)(process.execPath, ['scripts/build-if-needed.mjs'], { cwd: ROOT });
}

/** The server as it is built, in a process of its own, with a log in JSON. */
export class ServerProcess {
  /** All that it wrote so far, to either output. */
  output = '';
  private readonly child: ChildProcess;
  private hear: () => unknown = () => undefined;

  /**
   * @param variables its whole environment; nothing comes from that of the test run
   * @param openFiles its limit of open files; that of this process when not set
   */
  constructor(variables: Readonly<Record<string, string>>, folder = ROOT, openFiles?: number) {
    const { PATH = '' } = process.env;
    const command = [process.execPath, `${ROOT}/server/dist/main.js`];
    const [program = '', ...parameters] =
      openFiles === undefined
        ? command
        : ['bash', '-c', `ulimit -n ${openFiles}; exec "$0" "$@"`, ...command];
    this.child = spawn(program, parameters, {
      cwd: folder,
      env: { PATH, PORT: '0', METRICS_PORT: '0', LOG_FORMAT: 'json', ...variables },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
        this.hear();
      });
    }
    this.child.once('close', () => {
      this.hear();
    });
  }

  /** Its log: each line, as JSON. */
  get lines(): Record<string, unknown>[] {
    const whole = this.output.slice(0, this.output.lastIndexOf('\n') + 1);
    return whole
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Waits for a line. @throws where it does not come, with all that did */
  line(wanted: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>> {
    return this.until(() => this.lines.find(wanted));
  }

  /** Waits until a text is in its output. */
  async said(text: string): Promise<void> {
    await this.until(() => (this.output.includes(text) ? text : undefined));
  }

  /** Waits until it serves. */
  async serving(): Promise<{ url: string; metrics: string }> {
    const line = await this.line(({ message }) => message === 'Serving');
    return line as { url: string; metrics: string };
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Asks it to stop, unless it has. @returns its exit code */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (!this.hasEnded) {
      const closed = once(this.child, 'close');
      this.child.kill(signal);
      await closed;
    }
    return this.child.exitCode;
  }

  /** Waits until it ends by itself. @returns its exit code */
  async ended(): Promise<number | null> {
    if (!this.hasEnded) await once(this.child, 'close');
    return this.child.exitCode;
  }

  private async until<T>(look: () => T | undefined): Promise<T> {
    const deadline = performance.now() + TIMEOUT_MS;
    const timer = setTimeout(() => {
      this.hear();
    }, TIMEOUT_MS + 1);
    try {
      for (;;) {
        const found = look();
        if (found !== undefined) return found;
        if (this.hasEnded || performance.now() > deadline)
          throw new Error(`The server did not say that: ${this.output}`);
        await new Promise<void>((resolve) => {
          this.hear = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
  }

  private get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }
}
