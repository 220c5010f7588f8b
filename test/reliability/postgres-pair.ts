import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { giveToServer, programsOnThisMachine, withPostgres } from '../support/server-kinds.mjs';
import { freePort } from '../support/servers.mjs';
import { startHaproxy } from './haproxy.js';
import { PostgresNode } from './postgres-node.js';

const DATABASE = 'room_keys';
/** The owner of the database, who has no rights beyond. */
const OWNER = 'room_keys';
/** Connections through HAProxy that lead to a primary, one after the other. */
const SURE_AFTER = 10;

/** The URL of the database at `host:port`. */
export const urlOf = (at: string) => `postgres://${OWNER}@${at}/${DATABASE}`;

/** What can become of a primary. */
export type Fate = 'kill -9' | 'shutdown';
export const FATES: readonly Fate[] = ['kill -9', 'shutdown'];

/** The folder of PostgreSQL's programs. Undefined, and one line says why, where it is not installed; in CI that is a failure. */
export function postgresPrograms(): string | undefined {
  const [program] = programsOnThisMachine(['postgres']);
  // the others are beside it, wherever the PATH has links to some of them
  if (program) return dirname(realpathSync(program));
  const remedy = 'apt-get install postgresql';
  if (process.env.CI) throw new Error(`PostgreSQL is required here: ${remedy}`);
  process.stderr.write(`PostgreSQL is left out: it is not installed. To include it, ${remedy}\n`);
  return undefined;
}

/** A primary and its hot standby on the loopback, which take each other's place. */
export class PostgresPair {
  /** Goes with the pair; what belongs to it may be kept there too. */
  readonly folder: string;
  private constructor(
    folder: string,
    readonly nodes: readonly [PostgresNode, PostgresNode],
    private first: 0 | 1 = 0,
  ) {
    this.folder = folder;
  }

  /** Resolves when the standby follows; each commit waits for it. */
  static async start(programs: string): Promise<PostgresPair> {
    const folder = mkdtempSync(join(tmpdir(), 'room-keys-postgres-'));
    giveToServer(folder);
    chmodSync(folder, 0o755);
    const node = async (name: string) => new PostgresNode(programs, folder, name, await freePort());
    const pair = new PostgresPair(folder, [await node('node1'), await node('node2')]);
    try {
      await pair.startAll();
      return pair;
    } catch (error) {
      await pair.stop();
      throw error;
    }
  }

  private async startAll(): Promise<void> {
    const { primary, standby } = this;
    await primary.initialize();
    await primary.start();
    for (const statement of [
      `CREATE ROLE ${OWNER} LOGIN`,
      // warnings of a commit must be reported nevertheless
      `ALTER ROLE ${OWNER} SET client_min_messages = error`,
      `CREATE DATABASE ${DATABASE} OWNER ${OWNER}`,
      'CREATE ROLE haproxy LOGIN',
    ])
      await primary.query(statement);
    await standby.copy(primary);
    await standby.start();
    await this.synchronous();
  }

  get primary(): PostgresNode {
    return this.nodes[this.first];
  }

  get standby(): PostgresNode {
    return this.nodes[this.first === 0 ? 1 : 0];
  }

  /** From now on each commit waits for the standby; resolves when that follows. */
  async synchronous(): Promise<void> {
    await this.setAll({ synchronous_standby_names: '*' });
    await this.primary.until(
      "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'",
    );
  }

  /** From now on no commit waits for the standby. */
  async asynchronous(): Promise<void> {
    await this.setAll({ synchronous_standby_names: '' });
  }

  /** On both, as far as they run: the standby is to be as the primary when it takes its place. */
  private async setAll(settings: Readonly<Record<string, string>>): Promise<void> {
    for (const node of this.nodes) if (node.isRunning) await node.set(settings);
  }

  /** The primary is lost, and the standby takes its place; resolves when it takes writes. */
  async failOver(fate: Fate): Promise<void> {
    const { primary } = this;
    // it must be gone for sure before another takes its place
    await (fate === 'shutdown' ? primary.shutDown() : primary.kill());
    await this.promoteStandby();
  }

  /** The standby replaces a lost primary; resolves when it takes writes. */
  async promoteStandby(): Promise<void> {
    await this.standby.promote();
    this.first = this.first === 0 ? 1 : 0;
  }

  /** The one that was replaced comes back as the standby. */
  async rejoin(fate: Fate): Promise<void> {
    const { primary, standby } = this;
    if (fate === 'shutdown') standby.follow(primary);
    else await standby.rewind(primary);
    await standby.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10 });
  }
}

/** HAProxy in front of a pair, as docs/proxies/haproxy-postgres.cfg has it. */
export function startPostgresHaproxy(program: string, pair: PostgresPair) {
  return startHaproxy(program, 'haproxy-postgres.cfg', pair, {
    ports: [5433, 5432],
    // until its first checks, HAProxy takes all servers for primaries, in turn
    isReady: async (at) => {
      for (let times = 0; times < SURE_AFTER; times += 1)
        if (!(await leadsToPrimary(at).catch(() => false))) return false;
      return true;
    },
  });
}

const leadsToPrimary = (at: string) =>
  withPostgres(urlOf(at), async (client) => {
    const { rows } = await client.query<{ standby: boolean }>(
      'SELECT pg_is_in_recovery() AS standby',
    );
    return rows[0]?.standby === false;
  });
