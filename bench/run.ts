import type { BackupUnderTest, Contestant } from './contestant.js';
import type { BenchDatabase } from './database.js';
import type { Homeserver } from './homeserver.js';
import type { Progress } from './progress.js';
import type { ServerProcess } from './server-process.js';
import { type Summary, summary } from './statistics.js';

export type Name = Contestant['name'];

/** One row of the results: how long each took for the same work. */
export interface Phase {
  /** Stable, for programs: `fill`, `version`. */
  id: string;
  title: string;
  /** Keys that were stored when it began. */
  stored: number;
  /** Milliseconds of one request, by who did it. */
  times: Partial<Record<Name, Summary>>;
  /** Milliseconds until the first byte, where the answer is long. */
  firstByte?: Partial<Record<Name, Summary>>;
  /** Milliseconds of processor time that a server of ours took for one request. */
  cpu: Partial<Record<Name, number>>;
  /** Milliseconds of processor time that the database took meanwhile, for one request. */
  databaseCpu: Partial<Record<Name, number>>;
  /** Keys a second, where many users are at work at once: median over the slices. */
  keysPerSecond?: Partial<Record<Name, number>>;
}

/** What all stages work with. */
export interface Run {
  database: BenchDatabase;
  server: ServerProcess;
  /**
   * Stops our server and starts it again at the same address.
   *
   * @param changes settings that differ from those of the run
   */
  restart(changes?: Readonly<Record<string, string>>): Promise<void>;
  /** Milliseconds of processor time that a server took so far; undefined for one that is not ours. */
  cpuOf: (name: Name) => number | undefined;
  ours: Homeserver;
  /** An earlier build. */
  before: Homeserver<'before'> | undefined;
  floor: Contestant | undefined;
  peer: Homeserver | undefined;
  progress: Progress;
  phases: Phase[];
}

/** Who takes part, each with a backup of its own. */
export interface Entry {
  name: Name;
  backup: BackupUnderTest;
}

/** Gives each of those that take part a backup of the same user. */
export async function entries(
  contestants: readonly (Contestant | undefined)[],
  user: number,
): Promise<Entry[]> {
  const all: Entry[] = [];
  for (const contestant of contestants) {
    if (!contestant) continue;
    all.push({ name: contestant.name, backup: await contestant.createBackup(user) });
  }
  return all;
}

export type Times = Partial<Record<Name, number[]>>;

/**
 * Has each of them do the same work, in slices that take turns: what slows the machine for a while
 * slows all of them.
 *
 * @param count how often the work is done
 * @param slice how often one does it before the next one's turn
 * @param work returns the milliseconds it took
 * @returns the milliseconds of each time, and the processor times for one
 */
export async function interleaved<E extends { name: Name }>(
  { progress, cpuOf, database }: Run,
  title: string,
  all: readonly E[],
  { count, slice }: { count: number; slice: number },
  work: (entry: E, index: number) => Promise<number>,
): Promise<{ times: Times } & Pick<Phase, 'cpu' | 'databaseCpu'>> {
  const times: Times = {};
  const cpu: Phase['cpu'] = {};
  const databaseCpu: Phase['databaseCpu'] = {};
  const tick = progress.phase(title, count * all.length);
  for (let from = 0; from < count; from += slice) {
    const turn = (from / slice) % all.length;
    for (const entry of [...all.slice(turn), ...all.slice(0, turn)]) {
      const { name } = entry;
      const before = { server: cpuOf(name), database: database.cpuMs() };
      const own = (times[name] ??= []);
      for (let index = from; index < Math.min(count, from + slice); index++) {
        own.push(await work(entry, index));
        tick();
      }
      addTo(cpu, name, since(before.server, cpuOf(name), count));
      addTo(databaseCpu, name, since(before.database, database.cpuMs(), count));
    }
  }
  return { times, cpu, databaseCpu };
}

const since = (before: number | undefined, now: number | undefined, count: number) =>
  before === undefined || now === undefined ? undefined : (now - before) / count;

function addTo(sums: Phase['cpu'], name: Name, more: number | undefined): void {
  if (more !== undefined) sums[name] = (sums[name] ?? 0) + more;
}

export function summaries(times: Times): Partial<Record<Name, Summary>> {
  return Object.fromEntries(
    Object.entries(times).map(([name, samples]) => [name, summary(samples)]),
  );
}
