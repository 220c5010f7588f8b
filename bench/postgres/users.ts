import { KeySource } from '../keys.js';
import { type Part, percent } from './parts.js';

const USERS = 1000;
const UPLOADS_EACH = 8;
const KEYS = 10;
const AT_ONCE = 4;

/** Five devices have signed it. */
const AUTH_DATA = JSON.stringify({
  public_key: 'x'.repeat(43),
  signatures: {
    '@user:hs1': Object.fromEntries(
      Array.from({ length: 5 }, (_, n) => [`ed25519:DEVICE${n}`, 'y'.repeat(86)]),
    ),
  },
});

/** Many users' small uploads in any order: how often room in a page is found for the next state of a row. */
export async function users({ lab, note }: Part): Promise<void> {
  const fillFactors = await lab.sql(
    `SELECT relname, reloptions::text AS options FROM pg_class
     WHERE relname IN ('room_keys_backups', 'room_keys_rooms') AND reloptions IS NOT NULL`,
  );
  await upload({ lab, note }, 'full', 'SET (fillfactor = 100)');
  for (const { relname, options } of fillFactors) {
    const [, own] = /fillfactor=(\d+)/.exec(options ?? '') ?? [];
    await lab.sql(`ALTER TABLE ${relname} SET (fillfactor = ${own})`);
  }
  await upload({ lab, note }, 'own', undefined);
}

async function upload(
  { lab, note }: Pick<Part, 'lab' | 'note'>,
  name: string,
  change: string | undefined,
): Promise<void> {
  for (const table of change === undefined ? [] : ['backups', 'rooms']) {
    await lab.sql(`ALTER TABLE room_keys_${table} ${change}`);
  }
  const sources = Array.from(
    { length: USERS },
    (_, n) => [`@${name}${n}:hs1`, new KeySource(`${name} ${n}`, 10)] as const,
  );
  for (const [user] of sources) await lab.createBackup(user, AUTH_DATA);
  const order = shuffled(Array.from({ length: USERS * UPLOADS_EACH }, (_, n) => n % USERS));
  const sent = new Map<number, number>();
  const some = async (which: readonly number[]) => {
    const queue = [...which];
    const one = async () => {
      for (let n = queue.pop(); n !== undefined; n = queue.pop()) {
        const from = sent.get(n) ?? 0;
        sent.set(n, from + KEYS);
        const [user, source] = sources[n] ?? ['', new KeySource('')];
        await lab.upload(source, [user, '1'], [from, from + KEYS]);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, one));
  };
  const pages = name === 'full' ? 'full pages' : 'the fillfactors of the migration';
  const hot = async (title: string, which: readonly number[]) => {
    const before = { backups: await lab.counters('backups'), rooms: await lab.counters('rooms') };
    await some(which);
    for (const [table, was] of Object.entries(before)) {
      const is = await lab.counters(table);
      const grown = (counter: string) => (is[counter] ?? 0) - (was[counter] ?? 0);
      note(
        `${table}, ${pages}: updates without a new entry in an index${title}`,
        percent(grown('hot'), grown('updated')),
      );
    }
  };
  await hot('', order.slice(order.length / 2));
  const old = await lab.connect();
  await old.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  await old.query('SELECT 1 FROM room_keys_users');
  await hot(', beside an old snapshot', order.slice(0, order.length / 2));
  await old.end();
}

const shuffled = <T>(all: readonly T[]): T[] =>
  all
    .map((one) => [Math.random(), one] as const)
    .sort(([a], [b]) => a - b)
    .map(([, one]) => one);
