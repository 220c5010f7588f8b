/** What PostgreSQL makes of a large backup: see `npm run bench:postgres -- --help`. */
import type pg from 'pg';
import { BATCH, KeySource } from '../keys.js';
import { median } from '../statistics.js';
import type { Lab } from './lab.js';

export interface Part {
  lab: Lab;
  /** Of the large backup. */
  keys: number;
  restart: (() => void) | undefined;
  /** A line of the result. */
  note: (what: string, value: string) => void;
}

const OWNER = '@large:hs1';
const large = new KeySource('large');
const backup = [OWNER, '1'] as const;

const ms = (value: number) => `${value.toFixed(value < 100 ? 2 : 0)} ms`;
const seconds = (value: number) => `${(value / 1000).toFixed(1)} s`;
const tenth = (times: readonly number[], nth: number) =>
  median(times.slice((times.length * nth) / 10, (times.length * (nth + 1)) / 10));

/** One backup from its first key to its last. */
export async function fill({ lab, keys, note }: Part): Promise<void> {
  await lab.createBackup(OWNER);
  const { result: times, log } = await lab.withLog(() => lab.upload(large, backup, [0, keys]));
  note('upload of 100 keys: first tenth of the fill', ms(tenth(times, 0)));
  note('upload of 100 keys: last tenth of the fill', ms(tenth(times, 9)));
  note('log: bytes a key', (log / keys).toFixed(0));
  await sizes({ lab, keys, note });
  for (const table of ['backups', 'rooms']) {
    const { updated = 0, hot = 0 } = await lab.counters(table);
    note(`${table}: updates without a new entry in an index (HOT)`, percent(hot, updated));
  }
  await vacuums({ lab, note });
}

async function sizes({ lab, keys, note }: Pick<Part, 'lab' | 'keys' | 'note'>): Promise<void> {
  const { heap = 0 } = await lab.counters('keys');
  note('table: bytes a key', (heap / keys).toFixed(0));
  for (const index of ['room_keys_keys_pkey', 'room_keys_keys_id']) {
    const bytes = await lab.number(`SELECT pg_relation_size('${index}')`);
    note(`${index}: bytes a key`, (bytes / keys).toFixed(0));
  }
}

async function vacuums({ lab, note }: Pick<Part, 'lab' | 'note'>): Promise<void> {
  const { vacuums: count = 0, dead = 0 } = await lab.counters('keys');
  note('autovacuum has gone through the keys so far', `${count} times, ${dead} dead rows now`);
}

/** All keys in the order of their rooms, as a restore reads them, beside the order in which they lie. */
export async function restore({ lab, keys, restart, note }: Part): Promise<void> {
  const kinds = { rooms: [] as number[], heap: [] as number[] };
  const inHeapOrder = async () => {
    const client = await lab.connect();
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await client.query(
      `DECLARE c NO SCROLL CURSOR FOR SELECT room_no, seq, session_id, first_message_index, forwarded_count,
         is_verified, session_data FROM room_keys_keys`,
    );
    const begun = performance.now();
    for (let rows = -1; rows !== 0; rows = (await client.query('FETCH 300 FROM c')).rows.length);
    const took = performance.now() - begun;
    await client.end();
    return took;
  };
  if (restart) {
    await lab.restarted(restart);
    const { ms: cold, first } = await lab.restore(...backup, keys);
    note(
      `restore of ${keys} keys, nothing cached`,
      `${seconds(cold)}, first page after ${ms(first)}`,
    );
    await lab.restarted(restart);
    note('the same rows as they lie in the table, nothing cached', seconds(await inHeapOrder()));
  }
  for (let n = 0; n < 3; n++) {
    kinds.rooms.push((await lab.restore(...backup, keys)).ms);
    kinds.heap.push(await inHeapOrder());
  }
  note(`restore of ${keys} keys, cached by the system`, seconds(median(kinds.rooms)));
  note('the same rows as they lie in the table', seconds(median(kinds.heap)));
}

/** A fifth of the keys is replaced by better ones. */
export async function replace({ lab, keys, note }: Part): Promise<void> {
  const count = keys / 5;
  const before = await lab.counters('keys');
  const { result: times, log } = await lab.withLog(() =>
    lab.upload(large, backup, [0, count], true),
  );
  const after = await lab.counters('keys');
  const grown = (name: string) => (after[name] ?? 0) - (before[name] ?? 0);
  note('replacing 100 keys', ms(median(times)));
  note('replacing: bytes of log a key', (log / count).toFixed(0));
  note('replacing: bytes by which the table grows a key', (grown('heap') / count).toFixed(0));
  note('replacing: updates without a new entry in an index', percent(grown('hot'), count));
  await vacuums({ lab, note });
}

/** Small backups around the large one: what PostgreSQL then takes a key set for. */
export async function small({ lab, keys, note }: Part): Promise<void> {
  const sets = 200_000;
  await lab.sql(
    `INSERT INTO room_keys_keys SELECT 1000000 + n / 4, 0, n % 4, substr(sha256(n::text::bytea), 1, 16), 'x', 0, 0, 0, NULL, '{}'
     FROM generate_series(1, ${4 * sets}) n`,
  );
  const again = async () => {
    await lab.sql('ANALYZE room_keys_keys');
    const times: number[] = [];
    for (let n = 0; n < 15; n++) {
      const from = keys - (n + 1) * BATCH;
      times.push(...(await lab.upload(large, backup, [from, from + BATCH])));
    }
    return ms(median(times));
  };
  note(`100 stored keys again, beside ${sets} backups of 4 keys`, await again());
  await lab.sql('ALTER TABLE room_keys_keys ALTER COLUMN key_set_id RESET (n_distinct)');
  note("the same without the column's n_distinct", await again());
  await lab.sql('ALTER TABLE room_keys_keys ALTER COLUMN key_set_id SET (n_distinct = 1)');
  await lab.sql('DELETE FROM room_keys_keys WHERE key_set_id >= 1000000');
  await lab.sql('VACUUM ANALYZE room_keys_keys');
}

/** Keys that came one at a time, between those of 99 other users: each lies in a page of its own. */
export async function scattered({ lab, keys, restart, note }: Part): Promise<void> {
  const user = '@scattered:hs1';
  const count = Math.min(10_000, keys / 100);
  const version = await lab.createBackup(user);
  const set = await lab.number(
    `SELECT key_set_id FROM room_keys_backups WHERE user_id = '${user}'`,
  );
  await lab.sql(
    `INSERT INTO room_keys_rooms SELECT ${set}, room_id, room_no, 1, 1 FROM room_keys_rooms WHERE key_set_id = 1`,
  );
  // every hundredth row is the user's
  await lab.sql(
    `INSERT INTO room_keys_keys SELECT CASE n % 100 WHEN 0 THEN ${set} ELSE 2000000 + n % 100 END, room_no, n / 100,
       id_hash, session_id, first_message_index, forwarded_count, is_verified, device_id, session_data
     FROM (SELECT *, row_number() OVER (ORDER BY seq) AS n FROM room_keys_keys WHERE key_set_id = 1) k
     ORDER BY n LIMIT ${count * 100}`,
  );
  await lab.sql(
    `UPDATE room_keys_backups SET key_count = ${count}, largest_key = 800, next_seq = ${keys} WHERE key_set_id = ${set}`,
  );
  await lab.sql('VACUUM ANALYZE room_keys_keys');
  if (restart) {
    await lab.restarted(restart);
    const { ms: took } = await lab.restore(user, version, count);
    note(`restore of ${count} keys that came one by one, nothing cached`, ms(took));
  }
  note(
    `restore of ${count} keys that came one by one`,
    ms((await lab.restore(user, version, count)).ms),
  );
  await lab.sql(`DELETE FROM room_keys_keys WHERE key_set_id <> 1`);
  await lab.sql('VACUUM room_keys_keys');
}

/** Deletes the backup, and removes its rows while another session keeps an old snapshot. */
export async function sweep({ lab, keys, note }: Part): Promise<void> {
  await lab.service.deleteBackup(...backup);
  const old: pg.Client = await lab.connect();
  await old.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  await old.query('SELECT 1 FROM room_keys_users');
  const steps: number[] = [];
  const { log } = await lab.withLog(async () => {
    let before = performance.now();
    await lab.maintenance.sweep(() => {
      steps.push(performance.now() - before);
      before = performance.now();
    });
  });
  await old.end();
  note('sweep beside an old snapshot: a step of 500 rows, first tenth', ms(tenth(steps, 0)));
  note('sweep beside an old snapshot: a step of 500 rows, last tenth', ms(tenth(steps, 9)));
  note('sweep: seconds', seconds(steps.reduce((sum, one) => sum + one, 0)));
  note('sweep: bytes of log a key', (log / keys).toFixed(0));
  await vacuums({ lab, note });
}

export const percent = (part: number, all: number) => `${((100 * part) / all).toFixed(1)} %`;
