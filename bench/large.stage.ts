import { setTimeout as sleep } from 'node:timers/promises';
import { count } from './compare.stage.js';
import type { HomeserverBackup } from './homeserver.js';
import { BATCH, KeySource } from './keys.js';
import { type Entry, interleaved, type Name, type Run } from './run.js';
import { median, quantile } from './statistics.js';

const MEBIBYTE = 1024 * 1024;
/** Points of the plot, of those that get to the end. */
const POINTS = 50;
/** What a phone on a good line takes. */
const SLOW_READER_BYTES_PER_SECOND = 20 * MEBIBYTE;
const EMPTY_BACKUPS = 30;
const CALM_UPLOADS = 500;

/** What a large backup does to everything else. Times in milliseconds, memory in bytes. */
export interface LargeResults {
  keys: number;
  /** Median time of an upload of 100 keys, by keys already stored. */
  series: { stored: number; times: Partial<Record<Name, number>> }[];
  /** The same work at the same time into the large backup and into empty ones. */
  upload: { large: number; empty: number };
  /** Bytes of our table of keys, by the database's own count. */
  table: { data: number; index: number } | undefined;
  restores: Restore[];
  delete: { large: number; empty: number };
  /** Another user's uploads, before and after the sweep, and during it. */
  sweep: { seconds: number; calm: UploadTimes; sweeping: UploadTimes };
}

interface UploadTimes {
  samples: number;
  median: number;
  p99: number;
}

/** One read of all keys, by a server that was started before, and had nothing to do since. */
export interface Restore {
  reader: 'fast' | 'slow';
  /** Seconds since it was started. */
  rested: number;
  bytes: number;
  ms: number;
  firstByteMs: number;
  idle: number | undefined;
  peak: number | undefined;
}

/**
 * Fills one backup, and deletes it.
 *
 * @param keys where ours is to end
 * @param peerKeys where the peer is to end
 * @param rests seconds that a server has nothing to do before all keys are read
 */
export async function large(
  run: Run,
  keys: number,
  peerKeys: number,
  rests: readonly number[],
): Promise<LargeResults> {
  const source = new KeySource('large');
  const backup = await run.ours.createBackup(0);
  const series = await fill(run, source, backup, keys, run.peer ? peerKeys : 0);
  const upload = await largeAgainstEmpty(run, source, backup, keys);
  const table = await run.database.bytesOfKeys();
  const restores: Restore[] = [];
  for (const reader of ['fast', 'slow'] as const) {
    for (const rested of rests) restores.push(await restore(run, backup, reader, rested));
  }
  return { keys, series, upload, table, restores, ...(await deletion(run, backup)) };
}

async function fill(
  run: Run,
  source: KeySource,
  backup: HomeserverBackup,
  keys: number,
  peerKeys: number,
): Promise<LargeResults['series']> {
  const peer = peerKeys > 0 ? await run.peer?.createBackup(0) : undefined;
  const series: LargeResults['series'] = [];
  const step = Math.max(BATCH * 10, keys / POINTS);
  for (let from = 0; from < keys; from += step) {
    const all: Entry[] = [{ name: 'ours', backup }];
    if (peer && from < peerKeys) all.push({ name: 'peer', backup: peer });
    const { times } = await interleaved(
      run,
      `fill on to ${count(from + step)}`,
      all,
      { count: step / BATCH, slice: 10 },
      (entry, n) => entry.backup.store(source.batch(from + n * BATCH), 'added'),
    );
    const medians = Object.entries(times).map(([name, samples]) => [name, median(samples)]);
    series.push({
      stored: from + step / 2,
      times: Object.fromEntries(medians) as Partial<Record<Name, number>>,
    });
  }
  await peer?.delete();
  return series;
}

/** Slices of uploads into the large backup, and into one that is new each time. */
async function largeAgainstEmpty(
  run: Run,
  source: KeySource,
  backup: HomeserverBackup,
  keys: number,
): Promise<LargeResults['upload']> {
  const slices = 40;
  const perSlice = 10;
  const times = { large: [] as number[], empty: [] as number[] };
  const tick = run.progress.phase(`upload at ${count(keys)} and at none`, slices);
  for (let slice = 0; slice < slices; slice++) {
    const empty = await run.ours.createBackup(1);
    for (let n = 0; n < perSlice; n++) {
      const from = keys + (slice * perSlice + n) * BATCH;
      times.large.push(await backup.store(source.batch(from), 'added'));
    }
    for (let n = 0; n < perSlice; n++) {
      times.empty.push(await empty.store(source.batch(n * BATCH), 'added'));
    }
    await empty.delete();
    tick();
  }
  await swept(run);
  return { large: median(times.large), empty: median(times.empty) };
}

async function restore(
  run: Run,
  backup: HomeserverBackup,
  reader: Restore['reader'],
  rested: number,
): Promise<Restore> {
  await run.restart();
  const tick = run.progress.phase(`restore by a ${reader} reader after ${rested} s`, 1);
  await backup.readInformation();
  await sleep(rested * 1000);
  const idle = run.server.residentBytes();
  run.server.forgetPeak();
  const times = await backup.stream(reader === 'slow' ? SLOW_READER_BYTES_PER_SECOND : undefined);
  tick();
  return { reader, rested, idle, peak: run.server.peakBytes(), ...times };
}

async function deletion(
  run: Run,
  backup: HomeserverBackup,
): Promise<Pick<LargeResults, 'delete' | 'sweep'>> {
  const source = new KeySource('neighbour');
  const neighbour = await run.ours.createBackup(2);
  let sent = 0;
  const upload = async () => neighbour.store(source.batch(BATCH * sent++), 'added');
  const calm: number[] = [];
  const sweeping: number[] = [];

  const empty: number[] = [];
  const tickEmpty = run.progress.phase('delete empty backups', EMPTY_BACKUPS);
  for (let n = 0; n < EMPTY_BACKUPS; n++) {
    empty.push(await (await run.ours.createBackup(1)).delete());
    tickEmpty();
  }
  await swept(run);
  const tick = run.progress.phase('a neighbour uploads during the sweep', 2 * CALM_UPLOADS + 1);
  for (let n = 0; n < CALM_UPLOADS; n++) {
    calm.push(await upload());
    tick();
  }
  const begun = performance.now();
  const deleted = await backup.delete();
  do {
    for (let n = 0; n < 10; n++) sweeping.push(await upload());
  } while (!(await run.database.isSwept()));
  const seconds = (performance.now() - begun) / 1000;
  tick();
  for (let n = 0; n < CALM_UPLOADS; n++) {
    calm.push(await upload());
    tick();
  }
  await neighbour.delete();
  return {
    delete: { large: deleted, empty: median(empty) },
    sweep: { seconds, calm: times(calm), sweeping: times(sweeping) },
  };
}

const times = (samples: number[]): UploadTimes => ({
  samples: samples.length,
  median: median(samples),
  p99: quantile(samples, 0.99),
});

/** Waits until the keys of deleted backups are removed. */
export async function swept(run: Run): Promise<void> {
  while (!(await run.database.isSwept())) await sleep(100);
}
