import { execFile } from 'node:child_process';
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Client } from 'pg';
import { asSomebodyElse, postgresSettings, withPostgres } from '../support/server-kinds.mjs';
import { KeptProcess } from './kept-process.js';
import { signalWithChildren } from './private-server.js';

/** Far more than a recovery takes. */
const PATIENCE_MS = 240_000;
/** Safe without a password: the servers listen on the loopback only, and hold nothing. */
const USER = 'test';
const SETTINGS = `
max_connections = 200
# what a server lacks that was away
wal_keep_size = '256MB'
# a standby looks again for a primary that was away
wal_retrieve_retry_interval = '200ms'
`;
const run = promisify(execFile);

/** A PostgreSQL server at one port, through however many processes: a primary, or a standby of another. */
export class PostgresNode {
  readonly data: string;
  private process: KeptProcess | undefined;
  private starts = 0;

  /** @param programs the folder of PostgreSQL's programs */
  constructor(
    private readonly programs: string,
    private readonly folder: string,
    readonly name: string,
    private readonly port: number,
  ) {
    this.data = join(folder, `${name}.data`);
  }

  /** Where clients reach it, `host:port`. */
  get at(): string {
    return `127.0.0.1:${this.port}`;
  }

  get isRunning(): boolean {
    return this.process !== undefined && !this.process.hasEnded;
  }

  /** Makes an empty database. */
  async initialize(): Promise<void> {
    await this.program('initdb', [
      `--pgdata=${this.data}`,
      `--username=${USER}`,
      '--auth=trust',
      '--encoding=UTF8',
      '--locale=C',
      // pg_rewind needs them, or wal_log_hints
      '--data-checksums',
      '--no-sync',
    ]);
    // in the file, where pg_rewind looks too
    appendFileSync(join(this.data, 'postgresql.conf'), SETTINGS);
  }

  /** Copies another one, whose standby this becomes. */
  async copy(primary: PostgresNode): Promise<void> {
    const from = ['--dbname', primary.connectionString(this.name)];
    await this.program('pg_basebackup', [
      ...from,
      `--pgdata=${this.data}`,
      '--write-recovery-conf',
      '--checkpoint=fast',
      '--no-sync',
    ]);
  }

  /** After it was killed: discards what it had before another took its place, whose standby this becomes. */
  async rewind(primary: PostgresNode): Promise<void> {
    // until its first checkpoint a new primary looks as if it were still in the history of the old one
    await primary.query('CHECKPOINT');
    await this.program('pg_rewind', [
      `--target-pgdata=${this.data}`,
      `--source-server=${primary.connectionString(this.name)} dbname=postgres`,
      '--write-recovery-conf',
      '--no-sync',
    ]);
  }

  /** After it was shut down in order, once its standby had all it had: becomes the standby of that one. */
  follow(primary: PostgresNode): void {
    writeFileSync(join(this.data, 'standby.signal'), '');
    const file = join(this.data, 'postgresql.auto.conf');
    const others = readFileSync(file, 'utf8').replace(/^primary_conninfo.*\n/gm, '');
    writeFileSync(file, `${others}primary_conninfo = '${primary.connectionString(this.name)}'\n`);
  }

  /** Resolves when it takes statements. */
  async start(): Promise<void> {
    this.starts += 1;
    const command = [
      ...asSomebodyElse(),
      join(this.programs, 'postgres'),
      '-D',
      this.data,
      ...postgresSettings({
        port: this.port,
        listen_addresses: '127.0.0.1',
        unix_socket_directories: '',
      }),
    ];
    this.process = new KeptProcess(
      this.folder,
      join(this.folder, `${this.name}.run${this.starts}`),
      command,
      'SIGQUIT',
    );
    for (const deadline = Date.now() + PATIENCE_MS; ;) {
      if (await this.query('SELECT 1').catch(() => false)) return;
      if (this.process.hasEnded || Date.now() > deadline)
        throw new Error(`${this.name} does not start: ${this.process.log}`);
      await sleep(20);
    }
  }

  /** `kill -9` of all of its processes; resolves when they are gone. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.process?.ended();
  }

  /** Sends a signal to all of its processes. */
  signal(signal: NodeJS.Signals): void {
    signalWithChildren(this.pid, signal);
  }

  /** An orderly shutdown, as by `pg_ctl stop`: what is under way is ended, and a standby gets all there is. */
  async shutDown(): Promise<void> {
    process.kill(this.pid, 'SIGINT');
    await this.process?.ended();
  }

  /** Becomes a primary; resolves when it takes writes. */
  async promote(): Promise<void> {
    await this.program('pg_ctl', ['promote', `--pgdata=${this.data}`, '--wait', '--timeout=240']);
  }

  /** Ends it; its data is not needed any more. */
  async stop(): Promise<void> {
    if (this.isRunning) this.signal('SIGCONT');
    await this.process?.stop();
    rmSync(this.data, { recursive: true, force: true, maxRetries: 10 });
  }

  /** Sets settings that can be changed while it runs. */
  async set(settings: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, value] of Object.entries(settings))
      await this.query(`ALTER SYSTEM SET ${name} = '${value}'`);
    await this.query('SELECT pg_reload_conf()');
    for (const [name, value] of Object.entries(settings)) {
      await this.until(`SELECT current_setting('${name}') = '${value}'`);
    }
  }

  /** Resolves when a statement with one value finds that it is true. */
  async until(statement: string): Promise<void> {
    for (const deadline = Date.now() + PATIENCE_MS; ;) {
      const [row] = await this.query(statement);
      if (row && Object.values(row)[0] === true) return;
      if (Date.now() > deadline) throw new Error(`${this.name}: never true: ${statement}`);
      await sleep(20);
    }
  }

  /** Rows of a statement, in the database that every server has. */
  async query(statement: string): Promise<Record<string, unknown>[]> {
    return this.connected(async (client) => {
      const { rows } = await client.query<Record<string, unknown>>(statement);
      return rows;
    });
  }

  /** A connection to it, for `work`. */
  connected<T>(work: (client: Client) => Promise<T>): Promise<T> {
    return withPostgres(`postgres://${USER}@${this.at}/`, work);
  }

  private get pid(): number {
    return Number(readFileSync(join(this.data, 'postmaster.pid'), 'utf8').split('\n')[0]);
  }

  private connectionString(name: string): string {
    return `host=127.0.0.1 port=${this.port} user=${USER} application_name=${name}`;
  }

  private async program(name: string, parameters: readonly string[]): Promise<void> {
    const [program = '', ...rest] = [...asSomebodyElse(), join(this.programs, name), ...parameters];
    // somebody else has no access to where the tests are
    await run(program, rest, { cwd: this.folder });
  }
}
