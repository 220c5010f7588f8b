import { execFileSync } from 'node:child_process';

/** The name of an interface has 15 characters at most. */
const PREFIX = 'rkeys';

/**
 * Networks of their own for some processes on this machine, any of which can be cut off from the others while
 * everything else still reaches it. Needs root, and Linux's network namespaces.
 */
export class NetworkLab {
  private readonly prefix = `${PREFIX}${process.pid}`;
  private readonly network = `10.${200 + ((process.pid >> 8) % 50)}.${process.pid % 256}`;

  private constructor(private readonly count: number) {}

  /** @returns undefined, and one line says why, where this machine does not allow it */
  static create(count: number): NetworkLab | undefined {
    const lab = new NetworkLab(count);
    try {
      removeLeftovers();
      lab.build();
      return lab;
    } catch (error) {
      lab.end();
      const [reason] = (error as Error).message.split('\n').slice(-1);
      process.stderr.write(`Partitions are left out: ip netns as root is needed (${reason}).\n`);
      return undefined;
    }
  }

  /** Whence its processes, and this one, reach them: a pattern of MySQL. */
  get hosts(): string {
    return `${this.network}.%`;
  }

  /** From 1. */
  addressOf(number: number): string {
    return `${this.network}.${number}`;
  }

  /** A command that runs in one of the networks. */
  inside(number: number, command: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', this.name(number), ...command];
  }

  /** Nothing passes between one network and the others. */
  cutOff(number: number): void {
    for (const other of this.others(number)) this.route('add', number, other);
  }

  mend(number: number): void {
    for (const other of this.others(number)) this.route('del', number, other);
  }

  end(): void {
    for (const number of this.numbers) attempt(['netns', 'del', this.name(number)]);
    attempt(['link', 'del', this.prefix]);
  }

  private build(): void {
    ip('link', 'add', this.prefix, 'type', 'bridge');
    ip('addr', 'add', `${this.network}.254/24`, 'dev', this.prefix);
    ip('link', 'set', this.prefix, 'up');
    for (const number of this.numbers) {
      const name = this.name(number);
      ip('netns', 'add', name);
      ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
      ip('link', 'set', name, 'master', this.prefix, 'up');
      ip('-n', name, 'addr', 'add', `${this.addressOf(number)}/24`, 'dev', 'eth0');
      ip('-n', name, 'link', 'set', 'eth0', 'up');
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
  }

  private route(action: 'add' | 'del', from: number, to: number): void {
    ip('-n', this.name(from), 'route', action, 'blackhole', `${this.addressOf(to)}/32`);
  }

  private name(number: number): string {
    return `${this.prefix}n${number}`;
  }

  private get numbers(): number[] {
    return Array.from({ length: this.count }, (_, index) => index + 1);
  }

  private others(number: number): number[] {
    return this.numbers.filter((other) => other !== number);
  }
}

const ip = (...parameters: string[]) =>
  execFileSync('ip', parameters, { encoding: 'utf8', stdio: 'pipe' });

function attempt(parameters: string[]): void {
  try {
    ip(...parameters);
  } catch {
    // it was never made, or is gone
  }
}

/** What a test run left behind that was interrupted. */
function removeLeftovers(): void {
  for (const [name, pid] of ip('netns', 'list').matchAll(
    new RegExp(`^${PREFIX}(\\d+)n\\d+`, 'gm'),
  )) {
    if (isRunning(Number(pid))) continue;
    attempt(['netns', 'del', name]);
    attempt(['link', 'del', `${PREFIX}${pid}`]);
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
