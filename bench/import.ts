/**
 * `npm run bench:import`: how fast keys come from a Synapse's PostgreSQL into MySQL or MariaDB, against
 * the bare driver writing the same rows, in the same run; and how much memory that takes.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import mysql from 'mysql2/promise';
import pg from 'pg';
import { idHash } from '../src/room-keys/storage/rows.js';
import { createDatabase } from './database.js';
import { KeySource } from './keys.js';
import { median } from './statistics.js';

const ROWS_PER_STATEMENT = 500;
const USER = '@bench:hs1';
const GOAL = 0.5;

const { values } = parseArgs({
  options: {
    database: { type: 'string' },
    source: { type: 'string' },
    keys: { type: 'string', default: '100000' },
    rounds: { type: 'string', default: '5' },
  },
});
if (!values.database || !values.source) {
  process.stderr.write(
    'Usage: npm run bench:import -- --database mysql://…/ --source postgres://…/database [--keys 100000] [--rounds 5]\nIn the PostgreSQL it makes a schema of its own, in the other a database of its own, and removes both.\n',
  );
  process.exit(2);
}
const count = Number(values.keys);
const keySource = new KeySource('import');

/** One key as the columns of Synapse's table. */
function rowOf(n: number) {
  const { roomId, sessionId, firstMessageIndex, sessionData } = keySource.key(n);
  return { roomId, sessionId, firstMessageIndex, sessionData: JSON.stringify(sessionData) };
}

async function fillSource(client: pg.Client): Promise<void> {
  await client.query(`CREATE TABLE e2e_room_keys_versions (user_id text NOT NULL, version bigint NOT NULL,
    algorithm text NOT NULL, auth_data text NOT NULL, deleted smallint DEFAULT 0 NOT NULL, etag bigint)`);
  await client.query(
    'CREATE UNIQUE INDEX e2e_room_keys_versions_idx ON e2e_room_keys_versions (user_id, version)',
  );
  await client.query(`CREATE TABLE e2e_room_keys (user_id text NOT NULL, room_id text NOT NULL,
    session_id text NOT NULL, version bigint NOT NULL, first_message_index integer,
    forwarded_count integer, is_verified boolean, session_data text NOT NULL)`);
  await client.query(
    'CREATE UNIQUE INDEX e2e_room_keys_with_version_idx ON e2e_room_keys (user_id, version, room_id, session_id)',
  );
  await client.query(
    `INSERT INTO e2e_room_keys_versions VALUES ($1, 1, 'm.megolm_backup.v1.curve25519-aes-sha2', '{"public_key":"a"}', 0, 1)`,
    [USER],
  );
  for (let from = 0; from < count; from += ROWS_PER_STATEMENT) {
    const rows = page(from).map(({ sessionData, ...row }) => ({ ...row, sessionData }));
    await client.query(
      `INSERT INTO e2e_room_keys SELECT $1, r, s, 1, i, 0, false, d
       FROM unnest($2::text[], $3::text[], $4::int[], $5::text[]) AS t (r, s, i, d)`,
      [
        USER,
        rows.map(({ roomId }) => roomId),
        rows.map(({ sessionId }) => sessionId),
        rows.map(({ firstMessageIndex }) => firstMessageIndex),
        rows.map(({ sessionData }) => sessionData),
      ],
    );
  }
  await client.query('ANALYZE e2e_room_keys');
}

const page = (from: number) =>
  Array.from({ length: Math.min(ROWS_PER_STATEMENT, count - from) }, (_, n) => rowOf(from + n));

/** The same rows into a table of the same form, by the driver alone; what makes the rows is not counted. */
async function floor(url: string): Promise<number> {
  const connection = await mysql.createConnection(url);
  try {
    await connection.query('DROP TABLE IF EXISTS floor_keys');
    await connection.query('CREATE TABLE floor_keys LIKE room_keys_keys');
    const rooms = new Map<string, number>();
    let ms = 0;
    for (let from = 0; from < count; from += ROWS_PER_STATEMENT) {
      const rows = page(from).map(({ roomId, sessionId, firstMessageIndex, sessionData }, n) => {
        const seq = from + n;
        if (!rooms.has(roomId)) rooms.set(roomId, seq);
        return [
          1,
          rooms.get(roomId),
          seq,
          Buffer.from(idHash({ roomId, sessionId }), 'hex'),
          Buffer.from(sessionId),
          firstMessageIndex,
          0,
          0,
          null,
          sessionData,
        ];
      });
      const begun = performance.now();
      await connection.query('INSERT INTO floor_keys VALUES ?', [rows]);
      ms += performance.now() - begun;
    }
    return ms;
  } finally {
    await connection.end();
  }
}

/** What a process of the bench tells. */
interface Taken {
  ms: number;
  keys: number;
  /** Bytes. */
  peak: number;
}

/** Runs `import` or `verify` of a database that holds so many keys afterwards. */
async function inProcess(
  ...args: [what: 'import' | 'verify', url: string, keys: string, source?: string]
): Promise<Taken> {
  const child = fork(
    fileURLToPath(new URL('import-process.mjs', import.meta.url)),
    args.filter((one) => one !== undefined),
  );
  let result: Taken | undefined;
  child.once('message', (message) => (result = message as Taken));
  await once(child, 'close');
  if (!result || child.exitCode !== 0) throw new Error(`The process ended with ${child.exitCode}.`);
  if (result.keys !== Number(args[2]))
    throw new Error(`${result.keys} keys instead of ${args[2]}.`);
  return result;
}

const schema = `room_keys_bench_${process.pid}`;
const admin = new pg.Client({ connectionString: values.source });
await admin.connect();
const database = await createDatabase(new URL(values.database));
try {
  await admin.query(`CREATE SCHEMA ${schema}`);
  await admin.query(`SET search_path = ${schema}`);
  await fillSource(admin);
  const source = new URL(values.source);
  source.searchParams.set('options', `-csearch_path=${schema}`);
  const connection = await mysql.createConnection(database.url);
  const reset = async () => {
    for (const table of ['users', 'backups', 'key_sets', 'rooms', 'keys']) {
      await connection.query(`DROP TABLE IF EXISTS room_keys_${table}`);
    }
    await connection.query('DROP TABLE IF EXISTS migrations');
  };
  const floors: number[] = [];
  const imports: number[] = [];
  const peaks: number[] = [];
  const again: number[] = [];
  const verifications: number[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    await reset();
    await inProcess('verify', database.url, '0');
    // in turns, since what the one leaves to be flushed, the other waits for
    if (round % 2 === 0) floors.push(await floor(database.url));
    const taken = await inProcess('import', database.url, String(count), source.href);
    imports.push(taken.ms);
    peaks.push(taken.peak);
    if (round % 2 === 1) floors.push(await floor(database.url));
    again.push((await inProcess('import', database.url, String(count), source.href)).ms);
    verifications.push((await inProcess('verify', database.url, String(count))).ms);
    process.stderr.write(
      `Round ${round + 1} of ${values.rounds}: ${Math.round(floors.at(-1) ?? 0)} ms and ${Math.round(taken.ms)} ms.\n`,
    );
  }
  await connection.end();
  const ratio = median(floors) / median(imports);
  const line = (name: string, all: number[]) =>
    `${name.padEnd(34)} ${(median(all) / 1000).toFixed(1).padStart(6)} s  ${Math.round((count / median(all)) * 1000)} keys/s\n`;
  process.stdout.write(
    `${count} keys, medians of ${values.rounds}, ${database.description}, Node ${process.versions.node}\n` +
      line('bare driver, the same rows', floors) +
      line('import, with its verification', imports) +
      line('import again, nothing to do', again) +
      line('verify', verifications) +
      `speed against the bare driver: ${ratio.toFixed(2)} (goal: at least ${GOAL}) ${ratio >= GOAL ? 'reached' : 'MISSED'}\n` +
      `peak memory of the import: ${Math.round(Math.max(...peaks) / 1024 / 1024)} MiB\n`,
  );
} finally {
  await database.drop();
  await admin.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
  await admin.end();
}
