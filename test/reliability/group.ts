import { execFile } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import mysql from 'mysql2/promise';
import { freePort } from '../../server/test/proxy/processes.js';
import { findProgram, kinds } from '../support/servers.mjs';
import type { ClusterKind } from './cluster.suite.js';
import type { ClusterNode, DatabaseCluster } from './database-cluster.js';
import { KeptProcess } from './kept-process.js';
import type { NetworkLab } from './network-lab.js';

/** Far more than a member takes to come up, what it missed included. */
const PATIENCE_MS = 300_000;
/** Seconds of silence after which a member is suspected, which cannot be set, and after which it is expelled. */
const SUSPECTED_AFTER_S = 5;
const EXPELLED_AFTER_S = 120;
/** The name of the group: any UUID. */
const GROUP = '6d9ac57b-4f5c-4f7e-9d35-0c1d1e7f3a10';
const asRoot = process.getuid?.() === 0 ? ['--user=root'] : [];
const run = promisify(execFile);

const program = findGroupProgram();

/** Starts a group of three members; undefined where this machine has no program for it. */
export const startGroup = program
  ? (options: Omit<GroupOptions, 'members'>) =>
      new MysqlGroup(program, { members: 3, ...options }).start()
  : undefined;

/** Every member of which takes writes. */
export const multiPrimaryGroup: ClusterKind = {
  name: 'a MySQL group of three members that all take writes',
  type: 'mysql',
  start: startGroup && (() => startGroup({ primaries: 'all' })),
  proxy: 'haproxy-group-replication.cfg',
  waits: { name: 'group_replication_consistency', value: 'BEFORE' },
  // as it is called depends on how far the transaction had come
  conflict: /^ER_(LOCK_DEADLOCK|TRANSACTION_ROLLBACK_DURING_COMMIT)$/,
};

export interface GroupOptions {
  members: number;
  /** Whether all members take writes, or one of them. */
  primaries: 'one' | 'all';
  /** Each member in a network of its own, which can be cut off from the others. */
  lab?: NetworkLab | undefined;
}

/** A MySQL group (Group Replication) on this machine. */
export class MysqlGroup implements DatabaseCluster {
  readonly nodes: readonly GroupMember[];
  /** Goes with the group; what belongs to it may be kept there too. */
  readonly folder = mkdtempSync(join(tmpdir(), 'room-keys-group-'));

  constructor(
    private readonly program: string,
    private readonly options: GroupOptions,
  ) {
    chmodSync(this.folder, 0o711);
    const seeds = () => this.nodes.map(({ address }) => address).join();
    this.nodes = Array.from(
      { length: options.members },
      (_, index) => new GroupMember(program, this.folder, index + 1, options, seeds),
    );
  }

  /** Resolves when all members are online. */
  async start(): Promise<this> {
    try {
      await this.startAll();
      return this;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** The members that take writes, by what the first one that answers says. */
  async primaries(): Promise<GroupMember[]> {
    for (const node of this.nodes) {
      const members = await node.members().catch(() => []);
      const ports = members
        .filter(({ state, role }) => state === 'ONLINE' && role === 'PRIMARY')
        .map(({ at }) => at);
      if (ports.length > 0) return this.nodes.filter(({ at }) => ports.includes(at));
    }
    return [];
  }

  async suspectAfter(seconds: number): Promise<void> {
    for (const node of this.nodes) await node.expelAfter(seconds - SUSPECTED_AFTER_S);
  }

  suspectLate(): Promise<void> {
    return this.suspectAfter(EXPELLED_AFTER_S);
  }

  /** The one that takes writes, or each in turn. */
  async victim(turn: number): Promise<GroupMember> {
    const primaries = await this.primaries();
    return primaries[turn % primaries.length]!;
  }

  /** With its default for `group_replication_exit_state_action`. */
  async excluded(node: ClusterNode, work: () => Promise<void>): Promise<void> {
    await node.connected(async (connection) => {
      await connection.query('SET GLOBAL offline_mode = ON');
      await work();
      await connection.query('SET GLOBAL offline_mode = OFF');
    });
  }

  /** Has another member become the one that takes writes, as an operator does before an upgrade. */
  async switchPrimary(to: GroupMember): Promise<void> {
    await to.connected(async (connection) => {
      await connection.query('SELECT group_replication_set_as_primary(@@server_uuid)');
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10 });
  }

  private async startAll(): Promise<void> {
    const [first, ...others] = this.nodes;
    for (const node of this.nodes) await node.choosePorts();
    await run(this.program, [
      '--no-defaults',
      '--initialize-insecure',
      `--datadir=${first!.data}`,
      `--init-file=${this.users()}`,
      ...asRoot,
    ]);
    for (const { data } of others) {
      cpSync(first!.data, data, { recursive: true });
      // the id of a server
      rmSync(join(data, 'auto.cnf'), { force: true });
    }
    await first!.found();
    await Promise.all(others.map((node) => node.join()));
  }

  /** Safe without a password: the servers listen on this machine only, and hold nothing. */
  private users(): string {
    const file = join(this.folder, 'users.sql');
    const from = this.options.lab?.hosts ?? '127.0.0.1';
    const statements = [
      `CREATE USER test@'${from}';`,
      `GRANT ALL ON *.* TO test@'${from}' WITH GRANT OPTION;`,
      `CREATE USER room_keys@'${from}';`,
      // and those whose names begin so
      `GRANT ALL ON \`room\\_keys%\`.* TO room_keys@'${from}';`,
      `CREATE USER haproxy@'${from}';`,
      `GRANT SELECT ON performance_schema.replication_group_members TO haproxy@'${from}';`,
    ];
    writeFileSync(file, statements.join('\n'));
    return file;
  }
}

/** A member of the group, and the processes that it is one after the other. */
export class GroupMember implements ClusterNode {
  readonly data: string;
  readonly name: string;
  private process: KeptProcess | undefined;
  private starts = 0;
  private expelAfterS = EXPELLED_AFTER_S - SUSPECTED_AFTER_S;
  private ports: [client: number, group: number] = [0, 0];
  private readonly host: string;

  constructor(
    private readonly program: string,
    private readonly folder: string,
    readonly number: number,
    private readonly options: GroupOptions,
    private readonly seeds: () => string,
  ) {
    this.name = `member${number}`;
    this.data = join(folder, `${this.name}.data`);
    this.host = options.lab?.addressOf(number) ?? '127.0.0.1';
  }

  /** Where clients reach it. */
  get at(): string {
    return `${this.host}:${this.ports[0]}`;
  }

  /** Where the other members reach it. */
  get address(): string {
    return `${this.host}:${this.ports[1]}`;
  }

  async choosePorts(): Promise<void> {
    this.ports = [await freePort(), await freePort()];
  }

  /** Begins the group. */
  async found(): Promise<void> {
    await this.enter(async (connection) => {
      await connection.query('SET GLOBAL group_replication_bootstrap_group = ON');
      await connection.query('START GROUP_REPLICATION');
      await connection.query('SET GLOBAL group_replication_bootstrap_group = OFF');
    });
  }

  /** Joins the group for the first time. */
  async join(): Promise<void> {
    await this.enter((connection) => connection.query('START GROUP_REPLICATION'));
  }

  /** Starts it, as its machine would; it joins the group by itself. */
  async start(): Promise<void> {
    await this.run('ON');
    await this.synced();
  }

  /** Resolves when it takes statements, and has what the others had when it came back. */
  async synced(): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    while ((await this.state()) !== 'ONLINE') {
      if (!this.process || this.process.hasEnded || Date.now() > deadline) {
        throw new Error(`${this.name} is not in the group: ${this.process?.log}`);
      }
      await sleep(50);
    }
  }

  /** What it says of itself: ONLINE, RECOVERING, ERROR, OFFLINE; undefined where it does not answer. */
  async state(): Promise<string | undefined> {
    const members = await this.members().catch(() => []);
    return members.find(({ isItself }) => isItself)?.state;
  }

  /** What it says of all. */
  members(): Promise<{ at: string; state: string; role: string; isItself: boolean }[]> {
    return this.connected(async (connection) => {
      const [rows] = await connection.query<mysql.RowDataPacket[]>(
        `SELECT member_host AS host, member_port AS port, member_state AS state, member_role AS role,
           member_id = @@server_uuid AS itself FROM performance_schema.replication_group_members`,
      );
      return rows.map(({ host, port, state, role, itself }) => ({
        at: `${host}:${port}`,
        state: state as string,
        role: role as string,
        isItself: itself === 1,
      }));
    });
  }

  async expelAfter(seconds: number): Promise<void> {
    this.expelAfterS = seconds;
    await this.connected((connection) =>
      connection.query(`SET GLOBAL group_replication_member_expel_timeout = ${seconds}`),
    );
  }

  /** `kill -9`; resolves when it is gone. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.process?.ended();
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(Number(readFileSync(join(this.scratch, 'server.pid'), 'utf8')), signal);
  }

  async stop(): Promise<void> {
    await this.process?.stop();
  }

  /** A connection to this member, for `work`. */
  async connected<T>(work: (connection: mysql.Connection) => Promise<T>): Promise<T> {
    const connection = await mysql.createConnection(`mysql://test@${this.at}/`);
    try {
      return await work(connection);
    } finally {
      await connection.end();
    }
  }

  private get scratch(): string {
    return join(this.folder, this.name, `run${this.starts}`);
  }

  private async enter(how: (connection: mysql.Connection) => Promise<unknown>): Promise<void> {
    await this.run('OFF');
    await this.connected(async (connection) => {
      // remembered, for when it comes back by itself
      await connection.query(
        "CHANGE REPLICATION SOURCE TO SOURCE_USER = 'test' FOR CHANNEL 'group_replication_recovery'",
      );
      await how(connection);
    });
    await this.synced();
  }

  private async run(startsOnBoot: 'ON' | 'OFF'): Promise<void> {
    this.starts += 1;
    const command = [
      this.program,
      ...this.settings(),
      `--socket=${this.scratch}/server.sock`,
      `--pid-file=${this.scratch}/server.pid`,
      `--group-replication-start-on-boot=${startsOnBoot}`,
    ];
    this.process = new KeptProcess(
      this.folder,
      this.scratch,
      this.options.lab?.inside(this.number, command) ?? command,
    );
    for (const deadline = Date.now() + PATIENCE_MS; ;) {
      if (await this.connected(() => Promise.resolve(true)).catch(() => false)) return;
      if (this.process.hasEnded || Date.now() > deadline)
        throw new Error(`${this.name} does not start: ${this.process.log}`);
      await sleep(50);
    }
  }

  private settings(): string[] {
    const [port] = this.ports;
    const takesAll = this.options.primaries === 'all';
    return [
      '--no-defaults', // has to come first
      `--datadir=${this.data}`,
      `--port=${port}`,
      `--bind-address=${this.host}`,
      '--skip-name-resolve',
      '--mysqlx=OFF',
      '--performance-schema=OFF',
      '--innodb-buffer-pool-size=64M',
      '--innodb-redo-log-capacity=32M',
      `--server-id=${this.number}`,
      `--report-host=${this.host}`,
      '--gtid-mode=ON',
      '--enforce-gtid-consistency=ON',
      // takes no writes unless the group says so
      '--super-read-only=ON',
      '--plugin-load-add=group_replication.so',
      `--group-replication-group-name=${GROUP}`,
      `--group-replication-local-address=${this.address}`,
      `--group-replication-group-seeds=${this.seeds()}`,
      '--group-replication-message-cache-size=128M',
      `--group-replication-member-expel-timeout=${this.expelAfterS}`,
      '--group-replication-unreachable-majority-timeout=10',
      `--group-replication-single-primary-mode=${takesAll ? 'OFF' : 'ON'}`,
      `--group-replication-enforce-update-everywhere-checks=${takesAll ? 'ON' : 'OFF'}`,
      ...asRoot,
    ];
  }
}

/** MySQL's server with Group Replication; undefined, and one line says why, where this machine has none. */
function findGroupProgram() {
  const kind = kinds.find(({ id }) => id === 'mysql');
  const program = kind && findProgram(kind);
  if (!program) {
    process.stderr.write(
      'Group Replication is left out: to include it, put the mysqld of MySQL 8.4 or newer on the PATH.\n',
    );
  }
  return program;
}
