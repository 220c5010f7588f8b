import { execFile } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import mysql from 'mysql2/promise';
import { freePort, serverProgram } from '../../server/test/proxy/processes.js';
import type { ClusterKind } from './cluster.suite.js';
import type { ClusterNode, DatabaseCluster } from './database-cluster.js';
import { KeptProcess } from './kept-process.js';

const LIBRARIES = [
  '/usr/lib/galera/libgalera_smm.so',
  '/usr/lib64/galera-4/libgalera_smm.so',
  '/usr/lib64/galera/libgalera_smm.so',
];
/** Far more than a node takes to come up, its copy of the data included. */
const PATIENCE_MS = 300_000;
/**
 * Seconds of silence after which the others take a node for dead. One that gets no time on a busy machine is only
 * slow, and tests have nodes stand still.
 */
const SUSPECT_AFTER_S = 120;
/** Where root runs the tests, the servers are somebody else's: rsync, which root starts, writes as nobody. */
const asSomebody = process.getuid?.() === 0 ? ['--user=mysql'] : [];
const run = promisify(execFile);

/** What a Galera cluster needs on this machine. */
interface GaleraPrograms {
  server: string;
  install: string;
  library: string;
}

/** Undefined, and one line says why, where something is not installed; in CI that is a failure. */
function galeraPrograms(): GaleraPrograms | undefined {
  const server = serverProgram('mariadbd', 'mariadb-server');
  const install = serverProgram('mariadb-install-db', 'mariadb-server');
  // a node that was away for long copies what there is
  const rsync = serverProgram('rsync', 'rsync');
  const library = LIBRARIES.find(isThere);
  if (server && install && rsync && library) return { server, install, library };
  if (!library) {
    const remedy = 'apt-get install galera-4';
    if (process.env.CI) throw new Error(`Galera is required here: ${remedy}`);
    process.stderr.write(`Galera is left out: it is not installed. To include it, ${remedy}\n`);
  }
  return undefined;
}

const programs = galeraPrograms();

export const galera: ClusterKind = {
  name: 'a Galera cluster of three nodes that all take writes',
  type: 'mariadb',
  start: programs && (() => new GaleraCluster(programs, 3).start()),
  proxy: 'haproxy-galera.cfg',
  waits: { name: 'wsrep_sync_wait', value: '1' },
  conflict: /^ER_LOCK_DEADLOCK$/,
};

/** A cluster on the loopback, every node of which takes writes. */
export class GaleraCluster implements DatabaseCluster {
  readonly nodes: readonly GaleraNode[];
  /** Goes with the cluster; what belongs to it may be kept there too. */
  readonly folder = mkdtempSync(join(tmpdir(), 'room-keys-galera-'));

  constructor(
    private readonly programs: GaleraPrograms,
    count: number,
  ) {
    chmodSync(this.folder, 0o711);
    const members = () => this.nodes.map(({ address }) => address).join();
    this.nodes = Array.from(
      { length: count },
      (_, index) => new GaleraNode(programs, this.folder, `node${index + 1}`, members),
    );
  }

  /** Resolves when all nodes take statements. */
  async start(): Promise<this> {
    try {
      await this.startAll();
      return this;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  private async startAll(): Promise<void> {
    const [first, ...others] = this.nodes;
    for (const node of this.nodes) await node.choosePorts();
    await run(this.programs.install, [
      '--no-defaults',
      `--datadir=${first!.data}`,
      `--tmpdir=${first!.data}`,
      '--auth-root-authentication-method=normal',
      '--skip-test-db',
      ...asSomebody,
    ]);
    await first!.start(['--wsrep-new-cluster', `--init-file=${this.users()}`]);
    for (const node of others) await node.start();
    // one that has given away a copy of the data is in step again a moment later
    for (const node of this.nodes) await node.synced();
  }

  async suspectAfter(seconds: number): Promise<void> {
    for (const node of this.nodes) await node.suspectAfter(seconds);
  }

  suspectLate(): Promise<void> {
    return this.suspectAfter(SUSPECT_AFTER_S);
  }

  victim(turn: number): Promise<GaleraNode> {
    return Promise.resolve(this.nodes[turn % this.nodes.length]!);
  }

  /** As one that lacks the majority: 1047. */
  excluded(node: ClusterNode, work: () => Promise<void>): Promise<void> {
    return node.connected(async (connection) => {
      await connection.query('SET GLOBAL wsrep_reject_queries = ALL');
      await work();
      await connection.query('SET GLOBAL wsrep_reject_queries = NONE');
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 10 });
  }

  /** Safe without a password: the servers listen on the loopback only, and hold nothing. */
  private users(): string {
    const file = join(this.folder, 'users.sql');
    const statements = [
      "CREATE USER test@'127.0.0.1';",
      "GRANT ALL ON *.* TO test@'127.0.0.1' WITH GRANT OPTION;",
      "CREATE USER room_keys@'127.0.0.1';",
      "GRANT ALL ON room_keys.* TO room_keys@'127.0.0.1';",
      "CREATE USER haproxy@'127.0.0.1';",
    ];
    writeFileSync(file, statements.join('\n'));
    return file;
  }
}

/** A server of the cluster, at one port through however many processes. */
export class GaleraNode implements ClusterNode {
  readonly data: string;
  private readonly ports: number[] = [];
  private starts = 0;
  private suspectAfterS = SUSPECT_AFTER_S;
  private process: KeptProcess | undefined;

  constructor(
    private readonly programs: GaleraPrograms,
    private readonly cluster: string,
    readonly name: string,
    private readonly members: () => string,
  ) {
    this.data = join(cluster, name, 'data');
    mkdirSync(this.data, { recursive: true });
    chmodSync(this.data, 0o777);
  }

  /** Where statements go, `host:port`. */
  get at(): string {
    return `127.0.0.1:${this.ports[0]}`;
  }

  /** Where the nodes talk to each other. */
  get address(): string {
    return `127.0.0.1:${this.ports[1]}`;
  }

  async choosePorts(): Promise<void> {
    for (let n = 0; n < 4; n += 1) this.ports.push(await freePort());
  }

  /** Resolves when it takes statements, with all that the others have. */
  async start(how: readonly string[] = []): Promise<void> {
    const position = this.starts > 0 ? await this.position() : [];
    this.starts += 1;
    this.process = new KeptProcess(this.cluster, this.scratch, [
      this.programs.server,
      ...this.options(),
      `--socket=${this.scratch}/server.sock`,
      `--pid-file=${this.scratch}/server.pid`,
      ...position,
      ...how,
    ]);
    await this.synced();
  }

  /** Resolves when it takes statements, and is in step with the others. */
  async synced(): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    while (!(await this.isSynced())) {
      if (!this.process || this.process.hasEnded || Date.now() > deadline) {
        throw new Error(`${this.name} is not in step: ${this.process?.log}`);
      }
      await sleep(50);
    }
  }

  async suspectAfter(seconds: number): Promise<void> {
    // the second must not be less than the first at any time
    const isLess = seconds < this.suspectAfterS;
    this.suspectAfterS = seconds;
    const options = isLess ? this.suspicion() : this.suspicion().reverse();
    await this.connected(async (connection) => {
      for (const option of options)
        await connection.query('SET GLOBAL wsrep_provider_options = ?', [option]);
    });
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

  /** A connection to this node, for `work`. */
  async connected<T>(work: (connection: mysql.Connection) => Promise<T>): Promise<T> {
    const connection = await mysql.createConnection(`mysql://test@${this.at}/`);
    try {
      return await work(connection);
    } finally {
      await connection.end();
    }
  }

  private get scratch(): string {
    return join(this.cluster, this.name, `run${this.starts}`);
  }

  private async isSynced(): Promise<boolean> {
    const question = "SHOW STATUS LIKE 'wsrep_local_state'";
    try {
      return await this.connected(async (connection) => {
        const [rows] = await connection.query<mysql.RowDataPacket[]>(question);
        return rows[0]?.Value === '4';
      });
    } catch {
      return false;
    }
  }

  private options(): string[] {
    const [port, group, increments, copies] = this.ports;
    const provider = [
      'base_host=127.0.0.1',
      `base_port=${group}`,
      `gmcast.listen_addr=tcp://127.0.0.1:${group}`,
      `ist.recv_addr=127.0.0.1:${increments}`,
      'gcache.size=64M',
      ...this.suspicion(),
      `pc.wait_prim_timeout=PT${PATIENCE_MS / 1000}S`,
    ];
    return [
      '--no-defaults', // has to come first
      `--datadir=${this.data}`,
      // not the system's, where a server that starts removes the temporary tables of the others
      `--tmpdir=${this.data}`,
      `--port=${port}`,
      '--bind-address=127.0.0.1',
      '--skip-name-resolve',
      '--innodb-buffer-pool-size=64M',
      '--innodb-log-file-size=16M',
      '--innodb-autoinc-lock-mode=2',
      '--binlog-format=ROW',
      '--wsrep-on=ON',
      `--wsrep-provider=${this.programs.library}`,
      `--wsrep-provider-options=${provider.join('; ')}`,
      '--wsrep-cluster-name=room_keys',
      `--wsrep-cluster-address=gcomm://${this.members()}`,
      `--wsrep-node-name=${this.name}`,
      '--wsrep-node-address=127.0.0.1',
      '--wsrep-sst-method=rsync',
      `--wsrep-sst-receive-address=127.0.0.1:${copies}`,
      '--wsrep-slave-threads=4',
      ...asSomebody,
    ];
  }

  private suspicion(): string[] {
    const seconds = this.suspectAfterS;
    return [`evs.suspect_timeout=PT${seconds}S`, `evs.inactive_timeout=PT${2 * seconds}S`];
  }

  /** Where a node that was killed had come to, as Debian's service asks too: others then send only what came after. */
  private async position(): Promise<string[]> {
    const { stderr } = await run(this.programs.server, [
      ...this.options(),
      `--socket=${this.data}/recovery.sock`,
      `--pid-file=${this.data}/recovery.pid`,
      '--wsrep-recover',
    ]);
    const found = /Recovered position: (\S+)/.exec(stderr)?.[1];
    return found ? [`--wsrep-start-position=${found}`] : [];
  }
}

function isThere(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}
