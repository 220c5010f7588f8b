import { DELAY_MS } from './delay.stage.js';
import { neighboursGoals } from './neighbours/goals.js';
import type { Results } from './results.js';
import type { Name, Phase } from './run.js';
import type { Summary } from './statistics.js';

const MEBIBYTE = 1024 * 1024;

/** What is to be reached, and what was measured. */
export interface Goal {
  what: string;
  /** Such as `at most 1.15 times as long`. */
  goal: string;
  /** The same quantity as measured; undefined where this run does not tell. */
  measured: string | undefined;
  reached: boolean | undefined;
  /** Whether it was measured at the size that the goal is about. */
  atItsSize: boolean;
}

/** How many times as fast as the peer, and how many times as long an upload may take as into an empty backup. */
interface Limits {
  large: number;
  fill: number;
  same: number;
  replace: number;
  one: number;
  version: number;
  readOne: number;
  readAll: number;
  firstByte: number;
  crowd: number;
}

const LIMITS: Limits = {
  ...{ large: 1.15, fill: 4, same: 12, replace: 12, one: 12, version: 25 },
  ...{ readOne: 2, readAll: 2.5, firstByte: 30, crowd: 1.5 },
};
/** On PostgreSQL, which the peer has too. */
const LIMITS_ON_POSTGRES: Limits = {
  ...{ large: 1.25, fill: 3, same: 8, replace: 12, one: 8, version: 20 },
  ...{ readOne: 1.5, readAll: 2, firstByte: 30, crowd: 1.5 },
};

/** The goals, held against what a run measured. */
export function goals({
  keys,
  phases,
  restores,
  large,
  neighbours,
  start,
  database,
}: Results): Goal[] {
  const limits = database.startsWith('PostgreSQL') ? LIMITS_ON_POSTGRES : LIMITS;
  const phase = (id: string) => phases.find((one) => one.id === id);
  const median = (one: Phase | undefined, name: Name) => one?.times[name]?.median;
  const compared = keys === 100_000;
  const million = large?.keys === 1_000_000;

  const atMost = (
    what: string,
    limit: number,
    value: number | undefined,
    base: number | undefined,
    atItsSize = true,
  ): Goal => {
    const ratio = value !== undefined && base !== undefined ? value / base : undefined;
    return {
      what,
      goal: `at most ${limit} times as long`,
      measured: ratio?.toFixed(2),
      reached: ratio === undefined ? undefined : ratio <= limit,
      atItsSize,
    };
  };
  const atLeast = (
    what: string,
    limit: number,
    ratio: number | undefined,
    atItsSize = compared,
  ): Goal => ({
    what,
    goal: `at least ${limit} times as fast`,
    measured: ratio?.toFixed(2),
    reached: ratio === undefined ? undefined : ratio >= limit,
    atItsSize,
  });
  const memory = (
    what: string,
    limit: number,
    bytes: number | undefined,
    atItsSize = true,
  ): Goal => ({
    what,
    goal: `at most ${limit} MB`,
    measured: bytes === undefined ? undefined : `${(bytes / MEBIBYTE).toFixed(0)} MB`,
    reached: bytes === undefined ? undefined : bytes <= limit * MEBIBYTE,
    atItsSize,
  });
  const faster = (id: string, of: (s: Summary) => number = (s) => s.median) => {
    const { ours, peer } = phase(id)?.times ?? {};
    return ours && peer ? of(peer) / of(ours) : undefined;
  };
  const ofBefore = (what: string, limit: number, id: string, of: 'cpu' | 'databaseCpu'): Goal => {
    const { ours, before } = phase(id)?.[of] ?? {};
    return atMost(`${what}, against the build before`, limit, ours, before, compared);
  };
  const onServer = !database.startsWith('SQLite');
  const onMysql = onServer && !database.startsWith('PostgreSQL');
  const read = phase('read-all');
  const fills = (name: Name) =>
    sum([phase('fill-first')?.times[name]?.total, phase('fill-rest')?.times[name]?.total]);
  const crowd = phase('crowd')?.keysPerSecond;

  return [
    atMost(
      `upload of 100 keys at ${(large?.keys ?? 1_000_000).toLocaleString('en-GB')} stored against an empty backup`,
      limits.large,
      large?.upload.large,
      large?.upload.empty,
      million,
    ),
    atMost(
      "upload of 100 keys against the bare driver's transaction: first fifth of the fill",
      2,
      median(phase('fill-first'), 'ours'),
      median(phase('fill-first'), 'floor'),
    ),
    atMost(
      "upload of 100 keys against the bare driver's transaction: rest of the fill",
      2,
      median(phase('fill-rest'), 'ours'),
      median(phase('fill-rest'), 'floor'),
    ),
    ofBefore('processor time of an upload of 100 keys', 0.8, 'fill-rest', 'cpu'),
    ofBefore('processor time of reading all keys', onMysql ? 0.6 : 0.7, 'read-all', 'cpu'),
    ...(onServer
      ? [
          ofBefore("the database's, of an upload", 1.1, 'fill-rest', 'databaseCpu'),
          ofBefore("the database's, of reading all keys", 1.1, 'read-all', 'databaseCpu'),
          atMost(
            `upload of 100 keys at ${DELAY_MS} ms from the database against the bare driver's transaction`,
            1.7,
            median(phase('delay-upload'), 'ours'),
            median(phase('delay-upload'), 'floor'),
          ),
        ]
      : []),
    atMost(
      `reading all ${count(keys)} keys against the bare driver`,
      0.9,
      median(read, 'ours'),
      median(read, 'floor'),
      compared,
    ),
    memory(
      `memory while six clients read ${count(keys)} keys at once, over idle`,
      100,
      restores?.idle === undefined || restores.peak === undefined
        ? undefined
        : restores.peak - restores.idle,
      compared,
    ),
    atLeast(
      `fill of ${count(keys)} keys against the peer`,
      limits.fill,
      quotient(fills('peer'), fills('ours')),
    ),
    atLeast('the same 100 keys again', limits.same, faster('same')),
    atLeast(
      `replacing 100 keys by better ones at ${count(keys / 5)} stored`,
      limits.replace,
      faster('replace'),
    ),
    atLeast('one key at a time', limits.one, faster('one')),
    atLeast('GET version', limits.version, faster('version')),
    atLeast('reading one key', limits.readOne, faster('read-one')),
    atLeast(`reading all ${count(keys)} keys: whole`, limits.readAll, faster('read-all')),
    atLeast(
      `reading all ${count(keys)} keys: first byte`,
      limits.firstByte,
      quotient(read?.firstByte?.peer?.median, read?.firstByte?.ours?.median),
    ),
    atLeast(
      '16 users filling at once, keys a second',
      limits.crowd,
      quotient(crowd?.ours, crowd?.peer),
    ),
    ...(large?.restores ?? []).map(({ reader, rested, idle, peak }) =>
      memory(
        `memory while it sends ${count(large?.keys ?? 0)} keys to a ${reader} reader ${rested} s after its start, over idle`,
        80,
        peak === undefined || idle === undefined ? undefined : peak - idle,
        million,
      ),
    ),
    atMost(
      `deleting a backup of ${count(large?.keys ?? 1_000_000)} keys against an empty one`,
      3,
      large?.delete.large,
      large?.delete.empty,
      million,
    ),
    atMost(
      "another user's upload during the sweep, p99",
      2,
      large?.sweep.sweeping.p99,
      large?.sweep.calm.p99,
      million,
    ),
    ...(['upload', 'read-one'] as const).map((id) =>
      atMost(
        `${id === 'upload' ? 'upload of 100 keys' : 'reading one key'} at ten million keys in the database against a hundred thousand`,
        1.5,
        median(phase(`users-${id}-2`), 'ours'),
        median(phase(`users-${id}-0`), 'ours'),
        (phase(`users-${id}-2`)?.stored ?? 0) >= 10_000_000,
      ),
    ),
    atMost(
      "upload of 100 keys at ten million against the bare driver's transaction into a small table",
      2,
      median(phase('users-upload-2'), 'ours'),
      median(phase('users-upload-2'), 'floor'),
      (phase('users-upload-2')?.stored ?? 0) >= 10_000_000,
    ),
    ...neighboursGoals(neighbours, database.startsWith('SQLite')),
    ...(start?.rests ?? []).map((seconds, n) =>
      memory(`idle server ${seconds} s after its start`, 120, start?.idle[n]),
    ),
    atMost('start to first answer against an empty Nest application', 5, start?.ours, start?.empty),
  ];
}

const count = (n: number) => n.toLocaleString('en-GB');

const quotient = (a: number | undefined, b: number | undefined) =>
  a === undefined || b === undefined ? undefined : a / b;

function sum(numbers: readonly (number | undefined)[]): number | undefined {
  return numbers.reduce((total, one) =>
    total === undefined || one === undefined ? undefined : total + one,
  );
}
