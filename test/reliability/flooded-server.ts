import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOM_KEYS } from './paths.js';
import { RestartableServer, tokensOf } from './restartable-server.js';
import { Wire } from './wire.js';

const BACKUP = '{"algorithm":"m.megolm_backup.v1.curve25519-aes-sha2","auth_data":{}}';

/** The built server on a SQLite file of its own, whose users have a backup each. */
export class FloodedServer {
  private constructor(
    private readonly server: RestartableServer,
    private readonly folder: string,
    /** For those who behave. */
    readonly wire: Wire,
  ) {}

  /** @param users whose names are their tokens */
  static async start(
    users: readonly string[],
    variables: Readonly<Record<string, string>> = {},
  ): Promise<FloodedServer> {
    const folder = await mkdtemp(join(tmpdir(), 'room-keys-flood-'));
    const DATABASE_URL = `sqlite:${join(folder, 'keys.db')}`;
    const settings = { DATABASE_URL, DEV_TOKENS: tokensOf(users), ...variables };
    const server = await new RestartableServer(settings).start();
    const wire = new Wire(server.url);
    for (const user of users) {
      await wire.send('POST', `${ROOM_KEYS}/version`, { Authorization: `Bearer ${user}` }, BACKUP);
    }
    return new FloodedServer(server, folder, wire);
  }

  get url(): string {
    return this.server.url;
  }

  /** The most memory that the process ever had, in bytes. */
  get peakMemory(): number {
    const status = readFileSync(`/proc/${this.server.pid}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  async remove(): Promise<void> {
    this.wire.close();
    await this.server.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}
