import { readFileSync } from 'node:fs';
import type { TestDatabase } from '../support/databases.js';
import { MAX_BODY_BYTES } from './fuzz.bodies.js';
import { type KnownUser, KnownUsers } from './known-users.js';
import { ROOM_KEYS } from './paths.js';
import { RestartableServer } from './restartable-server.js';
import { Wire } from './wire.js';

/** The built server in a process of its own, beside a homeserver to which tests add users. */
export class FuzzedServer {
  private readonly pid: number | undefined;

  private constructor(
    private readonly server: RestartableServer,
    readonly users: KnownUsers,
    /** For those who behave. */
    readonly wire: Wire,
  ) {
    this.pid = server.pid;
  }

  static async start(database: TestDatabase): Promise<FuzzedServer> {
    const users = await KnownUsers.start();
    const server = await new RestartableServer({
      DATABASE_URL: database.url,
      HOMESERVER_URL: users.url,
      MAX_BODY_BYTES: String(MAX_BODY_BYTES),
      // no input may get 429 or 503: each gets its own response
      MAX_BODY_BYTES_AT_ONCE: String(256 * MAX_BODY_BYTES),
    }).start();
    return new FuzzedServer(server, users, new Wire(server.url));
  }

  get url(): string {
    return this.server.url;
  }

  /** Bytes that the process has in memory now, and the most that it ever had. */
  get memory(): { now: number; peak: number } {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    const bytes = (name: string) =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
    return { now: bytes('VmRSS'), peak: bytes('VmHWM') };
  }

  /** Lines of its log that tell of a fault of its own, or of an answer 5xx. */
  get complaints(): string[] {
    return this.server.printed
      .split('\n')
      .filter((line) => /\b(?:WARN|ERROR|FATAL)\b|^ {4}at |Error:|Warning:/.test(line));
  }

  /** What a user sends that behaves. */
  async call(user: KnownUser, method: string, path: string, body?: string) {
    const headers = { Authorization: `Bearer ${user.token}` };
    return this.wire.send(method, ROOM_KEYS + path, headers, body);
  }

  /** All that a user can read of versions 1 to `last`. */
  async stateOf(user: KnownUser, last: number): Promise<string[]> {
    const versions = Array.from({ length: last }, (_, n) => n + 1);
    const paths = [
      '/version',
      ...versions.flatMap((version) => [`/version/${version}`, `/keys?version=${version}`]),
    ];
    const answers = await Promise.all(paths.map((path) => this.call(user, 'GET', path)));
    return answers.map(({ status, text }) => `${status} ${text}`);
  }

  async stop(): Promise<void> {
    this.wire.close();
    await this.server.stop();
    await this.users.close();
  }
}
