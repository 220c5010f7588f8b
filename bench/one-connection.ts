/**
 * How many requests a client makes that goes on without a pause over one connection, which limits of
 * requests are to let pass: `npx tsx bench/one-connection.ts URL TOKEN [SECONDS]`. It makes a backup,
 * and deletes it when it is through.
 */
import { type Answer, HttpClient } from './http-client.js';
import { BATCH, type Key, KeySource } from './keys.js';
import { allRooms, pathOf as pathBelowKeys, wireKey } from './wire.js';

const [url, token, seconds = '20'] = process.argv.slice(2);
if (!url || !token) {
  throw new Error(
    'Write where and as whom: npx tsx bench/one-connection.ts http://127.0.0.1:8090 TOKEN',
  );
}
const client = new HttpClient(url, token);
const source = new KeySource('one connection');

const version = await createBackup();
try {
  const keys = `/keys?version=${version}`;
  const pathOf = (key: Key) => `/keys/${pathBelowKeys(key)}?version=${version}`;
  let stored = 0;
  await measure('store 100 new keys', () => {
    const batch = source.batch(stored);
    stored += BATCH;
    return client.send('PUT', keys, json(allRooms(batch)));
  });
  const existing = source.batch(0);
  const first = source.key(0);
  const firstBody = json(wireKey(first));
  await measure('store one key that is there', () => client.send('PUT', pathOf(first), firstBody));
  await measure('read one key', (n) => client.send('GET', pathOf(existing[n % BATCH] ?? first)));
  await measure('read the current backup', () => client.send('GET', '/version'));
} finally {
  await client.send('DELETE', `/version/${version}`);
  client.close();
}

/** Does it again and again, and prints how often a second. */
async function measure(what: string, act: (n: number) => Promise<Answer>): Promise<void> {
  const begun = performance.now();
  const end = begun + Number(seconds) * 1000;
  const statuses: Record<number, number> = {};
  const perSecond: number[] = [];
  let total = 0;
  for (let now = begun; now < end; now = performance.now()) {
    const second = Math.floor((now - begun) / 1000);
    const { status } = await act(total++);
    statuses[status] = (statuses[status] ?? 0) + 1;
    perSecond[second] = (perSecond[second] ?? 0) + 1;
  }
  const average = Math.round(total / ((performance.now() - begun) / 1000));
  const best = Math.max(...perSecond.map((count) => count));
  const answers = Object.entries(statuses).map(([status, count]) => `${count} × ${status}`);
  console.log(`${what}: ${average} a second, ${best} in the best one (${answers.join(', ')})`);
}

async function createBackup(): Promise<string> {
  const algorithm = 'm.megolm_backup.v1.curve25519-aes-sha2';
  const { status, body } = await client.send(
    'POST',
    '/version',
    json({ algorithm, auth_data: {} }),
  );
  if (status !== 200) throw new Error(`The server answered ${status}.`);
  return (JSON.parse(Buffer.concat(body).toString()) as { version: string }).version;
}

function json(body: unknown): Buffer {
  return Buffer.from(JSON.stringify(body));
}
