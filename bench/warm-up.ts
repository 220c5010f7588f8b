import type { Contestant } from './contestant.js';
import { BATCH, KeySource } from './keys.js';
import type { Run } from './run.js';

/** Uploads into one backup, before the next one is begun. */
const UPLOADS = 30;
const REPLACED = 20 * BATCH;

/** Seconds that one is at it before it is the next one's turn. */
const TURN = 5;

/**
 * Has each of them do, for equally long, all that is measured afterwards. A process that was just started
 * reads its code for the first time, and V8 translates what is used a thousand times into machine code:
 * until then an upload takes our server up to twice the processor time, as it does once a deployment. In
 * turns, since V8 throws away the code of a process that has nothing to do for a while.
 *
 * @param seconds for each of them
 */
export async function warmUp(
  { ours, before, floor, peer, progress }: Run,
  seconds: number,
): Promise<void> {
  const all = [ours, before, floor, peer].filter((one) => one !== undefined);
  const tick = progress.phase('warm-up', seconds * all.length);
  for (let left = seconds; left > 0; left -= TURN) {
    for (const contestant of all) {
      const begun = performance.now();
      const turn = Math.min(TURN, left);
      let ticks = 0;
      while (ticks < turn) {
        await once(contestant);
        for (; ticks < turn && performance.now() - begun > (ticks + 1) * 1000; ticks++) tick();
      }
    }
  }
}

/** Every operation, the frequent ones often. */
async function once(contestant: Contestant): Promise<void> {
  const source = new KeySource('warm-up');
  const backup = await contestant.createBackup(0);
  const keys = UPLOADS * BATCH;
  for (let from = 0; from < keys; from += BATCH) await backup.store(source.batch(from), 'added');
  for (let from = 0; from < REPLACED; from += BATCH) {
    await backup.store(source.batch(from), 'none');
    await backup.store(source.batch(from, true), 'replaced');
  }
  for (let n = 0; n < UPLOADS; n++) {
    await backup.store([source.key(keys + n)], 'added');
    await backup.readInformation();
    await backup.readKey(source.key(n, true));
  }
  await backup.readAll(source, REPLACED);
  await backup.deleteKeys();
  await backup.delete();
}
