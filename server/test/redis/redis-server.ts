import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { freePort } from '../proxy/processes.js';

const START_LIMIT_MS = 240_000;

/** A Redis at a port of its own, which keeps nothing, and can be taken away and brought back. */
export class RedisServer {
  private child: ChildProcess | undefined;

  private constructor(
    private readonly program: string,
    private readonly port: number,
    private readonly password: string | undefined,
  ) {}

  /** One that does not run yet. */
  static async at(program: string, password?: string): Promise<RedisServer> {
    return new RedisServer(program, await freePort(), password);
  }

  get url(): string {
    const user = this.password === undefined ? '' : `:${this.password}@`;
    return `redis://${user}127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const options = { port: String(this.port), bind: '127.0.0.1', save: '', appendonly: 'no' };
    const parameters = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
    if (this.password !== undefined) parameters.push('--requirepass', this.password);
    this.child = spawn(this.program, parameters, { stdio: 'ignore' });
    const client = new Redis(this.url, { lazyConnect: true, retryStrategy: () => null });
    client.on('error', () => {
      // said by the loop
    });
    try {
      const until = performance.now() + START_LIMIT_MS;
      while (!(await answers(client))) {
        if (performance.now() > until) throw new Error('redis-server did not start');
        await sleep(20);
      }
    } finally {
      client.disconnect();
    }
  }

  /** Without any farewell. */
  async kill(): Promise<void> {
    const child = this.child;
    this.child = undefined;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** Has it keep its connections, and answer nothing. */
  hang(): void {
    this.child?.kill('SIGSTOP');
  }

  goOn(): void {
    this.child?.kill('SIGCONT');
  }
}

async function answers(client: Redis): Promise<boolean> {
  try {
    if (client.status !== 'ready') await client.connect();
    await client.ping();
    return true;
  } catch {
    return false;
  }
}
