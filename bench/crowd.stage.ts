import { BATCH, KeySource } from './keys.js';
import { count } from './compare.stage.js';
import { entries, type Name, type Run, type Times, summaries } from './run.js';
import { median } from './statistics.js';

export const CROWD = 16;
/** Uploads of each user in one slice. */
const SLICE = 5;

/** Sixteen users fill their backups at once. */
export async function crowd(run: Run, keysEach: number): Promise<void> {
  const title = `${CROWD} users fill to ${count(keysEach)} at once`;
  const users = await Promise.all(
    Array.from({ length: CROWD }, async (_, n) => ({
      source: new KeySource(`crowd ${n}`),
      entries: await entries([run.ours, run.before, run.floor, run.peer], n),
    })),
  );
  const names = users[0]?.entries.map(({ name }) => name) ?? [];
  const times: Times = {};
  const rates: Partial<Record<Name, number[]>> = {};
  let cpu = 0;
  const batches = keysEach / BATCH;
  const tick = run.progress.phase(title, Math.ceil(batches / SLICE) * names.length);
  for (let from = 0; from < batches; from += SLICE) {
    const turn = (from / SLICE) % names.length;
    for (const name of [...names.slice(turn), ...names.slice(0, turn)]) {
      const bodies = users.map(({ source }) =>
        Array.from({ length: SLICE }, (_, n) => source.batch((from + n) * BATCH)),
      );
      const cpuBefore = name === 'ours' ? run.server.cpuMs() : 0;
      const begun = performance.now();
      await Promise.all(
        users.map(async (user, n) => {
          const backup = user.entries.find((entry) => entry.name === name)?.backup;
          for (const keys of bodies[n] ?? []) {
            if (backup) (times[name] ??= []).push(await backup.store(keys, 'added'));
          }
        }),
      );
      const seconds = (performance.now() - begun) / 1000;
      if (name === 'ours') cpu += run.server.cpuMs() - cpuBefore;
      (rates[name] ??= []).push((CROWD * SLICE * BATCH) / seconds);
      tick();
    }
  }
  run.phases.push({
    id: 'crowd',
    title,
    stored: 0,
    times: summaries(times),
    cpu: { ours: cpu / (times.ours?.length ?? 1) },
    databaseCpu: {},
    keysPerSecond: Object.fromEntries(
      Object.entries(rates).map(([name, all]) => [name, median(all)]),
    ),
  });
  for (const user of users) for (const { backup } of user.entries) await backup.delete();
}
