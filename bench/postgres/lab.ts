import pg from 'pg';
import { DataSource } from 'typeorm';
import type * as Package from '../../src/index.js';
import type * as Operations from '../../src/operations/index.js';
import type * as Deletions from '../../src/room-keys/removals.js';
import type * as Repository from '../../src/room-keys/storage/room-keys.repository.js';
import type { BenchDatabase } from '../database.js';
import { createPostgresDatabase } from '../database-postgres.js';
import { BATCH, type Key, type KeySource } from '../keys.js';

// as it is built: the decorators of the entities need what only the compiler emits
const built = <T>(path: string) =>
  import(new URL(`../../dist/${path}`, import.meta.url).href) as Promise<T>;
const { roomKeysEntities, roomKeysMigrations, RoomKeysService, runMigrations } =
  await built<typeof Package>('index.js');
const { RoomKeysMaintenance } = await built<typeof Operations>('operations/index.js');
const { Removals } = await built<typeof Deletions>('room-keys/removals.js');
const { RoomKeysRepository } = await built<typeof Repository>(
  'room-keys/storage/room-keys.repository.js',
);

type Service = InstanceType<typeof RoomKeysService>;
type Row = Record<string, string | null>;

/** A database with the tables of the module, and the module's own methods on it, without HTTP. */
export class Lab {
  private constructor(
    readonly database: BenchDatabase,
    private dataSource: DataSource,
    private client: pg.Client,
  ) {}

  static async create(server: URL): Promise<Lab> {
    const database = await createPostgresDatabase(server, `room_keys_bench_${process.pid}`);
    const { dataSource, client } = await connect(database.url);
    await runMigrations(dataSource);
    return new Lab(database, dataSource, client);
  }

  get service(): Service {
    const repository = new RoomKeysRepository(this.dataSource);
    return new RoomKeysService(repository, new Removals(repository), {});
  }

  get maintenance() {
    return new RoomKeysMaintenance(this.dataSource);
  }

  async sql(text: string): Promise<Row[]> {
    return (await this.client.query<Row>(text)).rows;
  }

  async number(text: string): Promise<number> {
    return Number(Object.values((await this.sql(text))[0] ?? {})[0]);
  }

  /** A session beside those of the module. */
  async connect(): Promise<pg.Client> {
    const client = new pg.Client(this.database.url);
    await client.connect();
    return client;
  }

  /** @param restart stops and starts the server, and forgets what is cached of its files */
  async restarted(restart: () => void): Promise<void> {
    await this.close();
    restart();
    Object.assign(this, await connect(this.database.url));
  }

  async close(): Promise<void> {
    await this.client.end();
    await this.dataSource.destroy();
  }

  /** The statistics of the tables, once sessions have reported them. */
  async counters(table: string): Promise<Record<string, number>> {
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const [row = {}] = await this.sql(
      `SELECT n_tup_upd AS updated, n_tup_hot_upd AS hot, autovacuum_count AS vacuums, autoanalyze_count AS analyzes,
         n_dead_tup AS dead, pg_table_size(relid) AS heap, pg_indexes_size(relid) AS indexes
       FROM pg_stat_user_tables WHERE relname = 'room_keys_${table}'`,
    );
    return Object.fromEntries(Object.entries(row).map(([name, value]) => [name, Number(value)]));
  }

  /** Runs `work`. @returns its result, and bytes of the log that was written meanwhile, by the whole server */
  async withLog<T>(work: () => Promise<T>): Promise<{ result: T; log: number }> {
    const [row] = await this.sql('SELECT pg_current_wal_lsn() AS lsn');
    const result = await work();
    const log = await this.number(`SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '${row?.lsn}')`);
    return { result, log };
  }

  async createBackup(user: string, authData = '{}'): Promise<string> {
    const algorithm = 'm.megolm_backup.v1.curve25519-aes-sha2';
    return this.service.createBackup(user, { algorithm, authData });
  }

  /** Uploads keys, 100 at once. @returns the milliseconds of each */
  async upload(
    source: KeySource,
    [user, version]: readonly [user: string, version: string],
    [from, to]: readonly [from: number, to: number],
    better = false,
  ): Promise<number[]> {
    const { service } = this;
    const times: number[] = [];
    for (let n = from; n < to; n += BATCH) {
      const keys = source.batch(n, better, Math.min(BATCH, to - n)).map(asRoomKey);
      const begun = performance.now();
      await service.putKeys(user, version, keys);
      times.push(performance.now() - begun);
    }
    return times;
  }

  /** Reads all keys, as a restore does. @returns milliseconds, and until the first page */
  async restore(user: string, version: string, count: number) {
    const begun = performance.now();
    const pages = await this.service.keys(user, version);
    let found = 0;
    let first = NaN;
    for (let page = await pages.next(); page; page = await pages.next()) {
      if (found === 0) first = performance.now() - begun;
      found += page.length;
    }
    if (found !== count) throw new Error(`${found} of ${count} keys`);
    return { ms: performance.now() - begun, first };
  }
}

async function connect(url: string): Promise<{ dataSource: DataSource; client: pg.Client }> {
  const dataSource = await new DataSource({
    type: 'postgres',
    url,
    entities: roomKeysEntities('postgres'),
    migrations: roomKeysMigrations,
  }).initialize();
  const client = new pg.Client(url);
  await client.connect();
  return { dataSource, client };
}

const asRoomKey = ({ sessionData, ...key }: Key) => ({
  ...key,
  forwardedCount: 0,
  isVerified: false,
  sessionData: JSON.stringify(sessionData),
});
