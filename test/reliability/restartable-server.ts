import { freePort } from '../../server/test/proxy/processes.js';
import { ServerProcess } from '../../server/test/operating/server-process.js';

/** Who may ask: the token `alice` is that of `@alice:hs1`. */
export const tokensOf = (users: readonly string[]) =>
  users.map((user) => `${user}=@${user}:hs1`).join(',');

/** The standalone server as it is built, at one URL through however many processes. */
export class RestartableServer {
  /** Such as `http://127.0.0.1:40123`. */
  url = '';
  private metricsUrl = '';
  private port: number | undefined;
  private process: ServerProcess | undefined;

  /** @param variables settings of the server; nothing else reaches it */
  constructor(private readonly variables: Readonly<Record<string, string>>) {}

  /** Resolves when it serves. */
  async start(): Promise<this> {
    this.port ??= await freePort();
    this.process = new ServerProcess({
      // the same after a kill: one that the system gives out could be taken meanwhile
      PORT: String(this.port),
      // these devices ask for more than any limit that is meant for real ones
      RATE_LIMIT: 'off',
      LOG_LEVEL: 'warn',
      LOG_FORMAT: 'text',
      ...this.variables,
    });
    await this.process.said('Access tokens');
    [, this.url = ''] = /(http:\/\/\S+)\/_matrix/.exec(this.printed) ?? [];
    [, this.metricsUrl = ''] = /^Metrics +(\S+)$/m.exec(this.printed) ?? [];
    return this;
  }

  /** Of the present process. */
  get pid(): number | undefined {
    return this.process?.pid;
  }

  /** What the present process has printed. */
  get printed(): string {
    return this.process?.output ?? '';
  }

  /** Each line of one of its metrics: what is in braces, and the number. */
  async metric(name: string): Promise<{ labels: string; value: number }[]> {
    const text = await (await fetch(this.metricsUrl)).text();
    return [...text.matchAll(new RegExp(`^${name}(?:{(.*)})? (\\S+)$`, 'gm'))].map(
      ([, labels = '', value]) => ({ labels, value: Number(value) }),
    );
  }

  /** `kill -9`; resolves when it is gone. */
  async kill(): Promise<void> {
    await this.process?.stop('SIGKILL');
  }

  /** Asks it to stop; resolves when it is gone. */
  async stop(): Promise<void> {
    await this.process?.stop();
  }
}
