import { setTimeout as sleep } from 'node:timers/promises';
import { count } from './compare.stage.js';
import type { BackupUnderTest } from './contestant.js';
import { BATCH, KeySource } from './keys.js';
import { interleaved, type Name, type Run, summaries } from './run.js';

export const USERS = 100;
/** Users who fill their backups at once. */
const AT_ONCE = 16;
/** Keys of one upload of the fill. */
const FILLED_AT_ONCE = 500;
const UPLOADS = 400;

interface User {
  source: KeySource;
  stored: number;
  ours: BackupUnderTest;
  /** Its table holds what is uploaded while it is measured, and no more: the floor has it easier. */
  floor: BackupUnderTest | undefined;
}

/**
 * A hundred users fill one database, and each step of the way is measured: with a hundredth, a
 * tenth, and all of the keys.
 *
 * @param keys how many there are in the end
 * @param rest seconds that the database has to write down what the fill has changed
 */
export async function users(run: Run, keys: number, rest: number): Promise<void> {
  const all: User[] = [];
  for (let n = 0; n < USERS; n++) {
    all.push({
      source: new KeySource(`user ${n}`),
      stored: 0,
      ours: await run.ours.createBackup(n),
      floor: await run.floor?.createBackup(n),
    });
  }
  for (const [step, total] of [keys / 100, keys / 10, keys].entries()) {
    await fill(run, all, total / USERS);
    await sleep(rest * 1000);
    await measure(run, all, step);
  }
}

async function fill(run: Run, all: readonly User[], each: number): Promise<void> {
  const uploads = all.map(({ stored }) => Math.ceil(Math.max(0, each - stored) / FILLED_AT_ONCE));
  const count = uploads.reduce((sum, one) => sum + one, 0);
  // none where the uploads that were measured are more
  if (count === 0) return;
  const tick = run.progress.phase(`${USERS} users fill their backups`, count);
  while (all.some(({ stored }) => stored < each)) {
    const waiting = [...all];
    const worker = async () => {
      for (let user = waiting.pop(); user; user = waiting.pop()) {
        const size = Math.min(FILLED_AT_ONCE, each - user.stored);
        if (size <= 0) continue;
        await user.ours.store(user.source.batch(user.stored, false, size), 'added');
        user.stored += size;
        tick();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  }
}

async function measure(run: Run, all: readonly User[], step: number): Promise<void> {
  const stored = all.reduce((sum, user) => sum + user.stored, 0);
  const one = (n: number) => {
    const user = all[(n * 37) % USERS];
    if (!user) throw new Error('no such user');
    return user;
  };
  const phase = async (
    id: string,
    title: string,
    names: Name[],
    times: number,
    work: (name: Name, n: number) => Promise<number>,
  ) => {
    const done = await interleaved(
      run,
      `${title}, ${count(stored)} in the database`,
      names.map((name) => ({ name })),
      { count: times, slice: 20 },
      (entry, n) => work(entry.name, n),
    );
    const named = `${title}, ${count(stored)} in the database`;
    run.phases.push({
      id: `users-${id}-${step}`,
      title: named,
      stored,
      ...done,
      times: summaries(done.times),
    });
  };
  // before the uploads: they would bring into memory what they touch
  await phase('read-one', 'read one key', ['ours'], 300, (_, n) => {
    const { source, stored: own, ours } = one(n);
    return ours.readKey(source.key((n * 7919) % own));
  });
  const contestants: Name[] = run.floor ? ['ours', 'floor'] : ['ours'];
  await phase('upload', 'upload 100 keys', contestants, UPLOADS, async (name, n) => {
    const user = one(n);
    const backup = name === 'ours' ? user.ours : user.floor;
    if (!backup) throw new Error('there is no floor');
    const from = user.stored + (name === 'ours' ? 0 : 1_000_000 + n * BATCH);
    const ms = await backup.store(user.source.batch(from), 'added');
    if (name === 'ours') user.stored += BATCH;
    return ms;
  });
  await phase('restore', 'read all keys of a user', ['ours'], 5, async (_, n) => {
    const { source, ours } = one(n);
    return (await ours.readAll(source, 0)).ms;
  });
}
