/** What the form of a statement costs: the driver alone, without the module. */
import { idHash } from '../../src/room-keys/storage/rows.js';
import { postgresSyntax as sql } from '../../src/room-keys/storage/database/sql-values.js';
import { type Key, KeySource } from '../keys.js';
import { median } from '../statistics.js';
import type { Part } from './parts.js';

const ROUNDS = 400;
/** Not counted. */
const FIRST_ROUNDS = 40;

interface Statement {
  text: string;
  values?: unknown[];
  name?: string;
}

const COLUMNS =
  '(key_set_id, room_no, seq, id_hash, session_id, first_message_index, forwarded_count, is_verified, device_id, session_data)';
const FROM_ARRAYS = `SELECT 1, r, s, h, i, f, 0, 0, NULL, d
  FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bigint[], $6::text[]) AS t (r, s, h, i, f, d)`;

interface Values {
  room: number;
  seq: number;
  hash: string;
  key: Key;
  data: string;
}

const arrays = (rows: readonly Values[]) => [
  rows.map(({ room }) => room),
  rows.map(({ seq }) => seq),
  rows.map(({ hash }) => Buffer.from(hash, 'hex')),
  rows.map(({ key }) => Buffer.from(key.sessionId)),
  rows.map(({ key }) => key.firstMessageIndex),
  rows.map(({ data }) => data),
];

const FORMS: Record<string, (table: string, rows: readonly Values[]) => Statement> = {
  'literals, as the module writes them': (table, rows) => ({
    text: `INSERT INTO ${table} ${COLUMNS} VALUES ${rows
      .map(({ room, seq, hash, key, data }) => {
        return `(1, ${room}, ${seq}, ${sql.hex(hash)}, ${sql.plainBytes(key.sessionId)}, ${key.firstMessageIndex}, 0, 0, NULL, ${sql.ascii(data)})`;
      })
      .join()}`,
  }),
  parameters: (table, rows) => {
    let last = 0;
    return {
      text: `INSERT INTO ${table} ${COLUMNS} VALUES ${rows.map(() => `(1, ${Array.from({ length: 6 }, (_, n) => (n === 5 ? `0, 0, NULL, $${(last += 1)}` : `$${(last += 1)}`)).join()})`).join()}`,
      values: rows.flatMap(({ room, seq, hash, key, data }) => [
        ...[room, seq, Buffer.from(hash, 'hex'), Buffer.from(key.sessionId)],
        ...[key.firstMessageIndex, data],
      ]),
    };
  },
  'arrays and unnest': (table, rows) => ({
    text: `INSERT INTO ${table} ${COLUMNS} ${FROM_ARRAYS}`,
    values: arrays(rows),
  }),
  'arrays and unnest, prepared': (table, rows) => ({
    text: `INSERT INTO ${table} ${COLUMNS} ${FROM_ARRAYS}`,
    values: arrays(rows),
    name: 'insert',
  }),
};

const BEGINS: Record<string, string> = {
  BEGIN: 'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE',
  'BEGIN with the settings of the transaction': `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
    SELECT set_config('lock_timeout', '3000', true), set_config('statement_timeout', '60000', true),
      set_config('idle_in_transaction_session_timeout', '60000', true),
      CASE WHEN current_setting('transaction_timeout', true) IS NULL THEN '' ELSE set_config('transaction_timeout', '0', true) END,
      set_config('enable_sort', 'off', true), set_config('jit', 'off', true)`,
};

/** The forms take turns, each with a table of its own. */
export async function statements({ lab, note }: Part): Promise<void> {
  const client = await lab.connect();
  const forms = Object.entries(FORMS);
  for (const n of forms.keys()) {
    await client.query(`CREATE TABLE form_${n} (LIKE room_keys_keys INCLUDING ALL)`);
  }
  const source = new KeySource('forms');
  const times = forms.map(() => ({ ms: [] as number[], cpu: [] as number[] }));
  for (let round = 0; round < ROUNDS; round++) {
    const rows = source.batch(round * 100).map((key, n): Values => {
      const data = JSON.stringify(key.sessionData);
      return { room: round % 50, seq: round * 100 + n, hash: idHash(key), key, data };
    });
    for (let turn = 0; turn < forms.length; turn++) {
      const which = (turn + round) % forms.length;
      const [, form] = forms[which] ?? [];
      if (!form) continue;
      await client.query('BEGIN');
      const cpu = process.cpuUsage();
      const begun = performance.now();
      await client.query(form(`form_${which}`, rows));
      const took = performance.now() - begun;
      const { user, system } = process.cpuUsage(cpu);
      await client.query('COMMIT');
      if (round < FIRST_ROUNDS) continue;
      times[which]?.ms.push(took);
      times[which]?.cpu.push((user + system) / 1000);
    }
  }
  for (const [n, [title]] of forms.entries()) {
    const { ms = [], cpu = [] } = times[n] ?? {};
    const mean = cpu.reduce((sum, one) => sum + one, 0) / cpu.length;
    note(
      `INSERT of 100 keys: ${title}`,
      `${median(ms).toFixed(2)} ms, of this process ${mean.toFixed(2)} ms of processor time`,
    );
  }
  for (const [title, text] of Object.entries(BEGINS)) {
    const took: number[] = [];
    for (let n = 0; n < 1000; n++) {
      const begun = performance.now();
      await client.query(text);
      took.push(performance.now() - begun);
      await client.query('ROLLBACK');
    }
    note(title, `${median(took).toFixed(3)} ms`);
  }
  await client.end();
}
