import type { HomeserverBackup } from './homeserver.js';
import { BATCH, KeySource } from './keys.js';
import {
  type Entry,
  entries,
  interleaved,
  type Phase,
  type Run,
  summaries,
  type Times,
} from './run.js';

/** Part of the keys at which all that are stored are replaced, in the middle of the fill. */
const REPLACED_AT = 5;
const ONE_BY_ONE = 200;

/** One user's backup from its first key to its last: ours, the floor and the peer take turns. */
export async function compare(run: Run, keys: number): Promise<SixRestores> {
  const source = new KeySource('compare');
  const all = await entries([run.ours, run.before, run.floor, run.peer], 0);
  const phase = async (
    id: string,
    title: string,
    stored: number,
    times: { count: number; slice: number },
    work: (entry: Entry, index: number) => Promise<number>,
  ): Promise<Phase> => {
    const done = await interleaved(run, title, all, times, work);
    const result = { id, title, stored, ...done, times: summaries(done.times) };
    run.phases.push(result);
    return result;
  };
  const fill = (id: string, from: number, to: number) =>
    phase(
      id,
      `fill from ${count(from)} to ${count(to)}`,
      from,
      { count: (to - from) / BATCH, slice: 50 },
      ({ backup }, n) => backup.store(source.batch(from + n * BATCH), 'added'),
    );

  const better = keys / REPLACED_AT;
  await fill('fill-first', 0, better);
  await phase(
    'replace',
    `replace all ${count(better)} by better ones`,
    better,
    { count: better / BATCH, slice: 50 },
    ({ backup }, n) => backup.store(source.batch(n * BATCH, true), 'replaced'),
  );
  await fill('fill-rest', better, keys);

  const batches = keys / BATCH;
  await phase(
    'same',
    'the same 100 keys again',
    keys,
    { count: Math.min(200, batches), slice: 50 },
    ({ backup }, n) => {
      const from = ((n * 61) % batches) * BATCH;
      return backup.store(source.batch(from, from < better), 'none');
    },
  );
  await phase('one', 'one key at a time', keys, { count: ONE_BY_ONE, slice: 50 }, ({ backup }, n) =>
    backup.store([source.key(keys + n)], 'added'),
  );
  await phase('version', 'GET version', keys, { count: 500, slice: 50 }, ({ backup }) =>
    backup.readInformation(),
  );
  await phase('read-one', 'read one key', keys, { count: 500, slice: 50 }, ({ backup }, n) => {
    const number = (n * 7919) % keys;
    return backup.readKey(source.key(number, number < better));
  });
  const room = source
    .numbersOfFirstRoom(keys + ONE_BY_ONE)
    .map((number) => source.key(number, number < better));
  await phase(
    'read-room',
    `read one room of ${count(room.length)}`,
    keys,
    { count: 20, slice: 5 },
    ({ backup }) => backup.readRoom(room),
  );
  const firstByte: Times = {};
  const read = await phase(
    'read-all',
    `read all ${count(keys)}`,
    keys,
    { count: 5, slice: 1 },
    async ({ name, backup }) => {
      const times = await backup.readAll(source, better);
      (firstByte[name] ??= []).push(times.firstByteMs);
      return times.ms;
    },
  );
  read.firstByte = summaries(firstByte);
  const six = await sixRestores(run, all[0]?.backup as HomeserverBackup);
  await phase('delete', 'delete all keys', keys, { count: 1, slice: 1 }, ({ backup }) =>
    backup.deleteKeys(),
  );
  for (const { backup } of all) await backup.delete();
  return six;
}

/** Bytes of memory of our server, before and at most while six clients read the backup at once. */
export interface SixRestores {
  idle: number | undefined;
  peak: number | undefined;
  /** Milliseconds until the last one has it. */
  ms: number;
}

async function sixRestores({ server, ours }: Run, backup: HomeserverBackup): Promise<SixRestores> {
  const idle = server.residentBytes();
  server.forgetPeak();
  const begun = performance.now();
  const clients = Array.from({ length: 6 }, () => ours.connect(0, {}));
  await Promise.all(clients.map((client) => backup.stream(undefined, client)));
  return { idle, peak: server.peakBytes(), ms: performance.now() - begun };
}

export const count = (n: number) => n.toLocaleString('en-GB');
