import { setTimeout as sleep } from 'node:timers/promises';
import type { Homeserver } from '../homeserver.js';
import { KeySource } from '../keys.js';
import type { Run } from '../run.js';
import { pathOf, wireKey } from '../wire.js';
import { USERS } from './others.js';
import { paced } from './paced.js';
import { attempt, type Observed, Samples } from './samples.js';

const BODY_BYTES = 15_000_000;
/** What fills the body, by name: some of it needs more bytes in SQL or in memory than in JSON. */
const FILLINGS = {
  apostrophes: "'",
  backslashes: '\\\\',
  quotes: '\\"',
  é: 'é',
  x: 'x',
} as const;

const PACE_MS = 20;
const IDLE_SAMPLES = 100;
const SETTLE_MS = 3000;
const TIMEOUT_MS = 60_000;

/** One upload of a single key as large as a body may be, and another user's `GET version` meanwhile. */
export interface LargeBodyResults {
  /** What it consists of, such as `apostrophes`. */
  filling: string;
  bytes: number;
  status: string;
  ms: number;
  /** Bytes of our server's memory before the first body, and at most during this one. */
  idle: number | undefined;
  peak: number | undefined;
  version: Observed;
}

/** Our server has to be freshly started. */
export async function largeBodies(
  { progress, server }: Run,
  homeserver: Homeserver,
): Promise<LargeBodyResults[]> {
  const isOurs = homeserver.name === 'ours';
  const backup = await homeserver.createBackup(USERS.busy);
  const reader = await homeserver.createBackup(USERS.reader);
  const upload = homeserver.connect(USERS.busy, { timeoutMs: TIMEOUT_MS });
  const client = homeserver.connect(USERS.reader, { connections: 10, timeoutMs: TIMEOUT_MS });
  const measure = (samples: Samples, isOver: (sent: number) => boolean) =>
    paced(PACE_MS, async () => samples.add(await attempt(client, 'GET', '/version')), isOver);
  const tick = progress.phase(`${homeserver.name}: large bodies`, Object.keys(FILLINGS).length);

  await measure(new Samples(), (sent) => sent >= IDLE_SAMPLES);
  await sleep(SETTLE_MS);
  const idle = isOurs ? server.residentBytes() : undefined;
  const results: LargeBodyResults[] = [];
  for (const [filling, text] of Object.entries(FILLINGS)) {
    const { path, body } = largeKey(results.length, text);
    if (isOurs) server.forgetPeak();
    const version = new Samples();
    let over = false;
    const sent = attempt(upload, 'PUT', `${path}?version=${backup.version}`, body);
    void sent.then(() => (over = true));
    await measure(version, () => over);
    const { status, ms } = await sent;
    results.push({
      ...{ filling, bytes: body.length, status, ms, idle },
      peak: isOurs ? server.peakBytes() : undefined,
      version: version.observed,
    });
    tick();
    await sleep(SETTLE_MS / 3);
  }
  upload.close();
  client.close();
  await backup.delete();
  await reader.delete();
  return results;
}

function largeKey(n: number, text: string): { path: string; body: Buffer } {
  const key = new KeySource('large bodies').key(n);
  const hole = '~';
  const json = JSON.stringify(
    wireKey({ ...key, sessionData: { ...key.sessionData, ciphertext: hole } }),
  );
  const [before = '', after = ''] = json.split(hole);
  const unit = Buffer.byteLength(text);
  const length = Math.floor((BODY_BYTES - json.length) / unit) * unit;
  const body = Buffer.concat([Buffer.from(before), Buffer.alloc(length, text), Buffer.from(after)]);
  return { path: `/keys/${pathOf(key)}`, body };
}
