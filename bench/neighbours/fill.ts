import type { Homeserver, HomeserverBackup } from '../homeserver.js';
import type { KeySource } from '../keys.js';
import type { Progress } from '../progress.js';

/** Older clients send up to 500 keys at once; larger batches fill faster. */
export const FILL_BATCH = 500;

/** Creates a backup and stores the first keys of a source in it. */
export async function filledBackup(
  homeserver: Homeserver,
  user: number,
  source: KeySource,
  keys: number,
  progress?: Progress,
): Promise<HomeserverBackup> {
  const backup = await homeserver.createBackup(user);
  await fill(backup, source, 0, keys, progress);
  return backup;
}

export async function fill(
  backup: HomeserverBackup,
  source: KeySource,
  from: number,
  to: number,
  progress?: Progress,
): Promise<void> {
  const title = `fill from ${from.toLocaleString('en-GB')} to ${to.toLocaleString('en-GB')} keys`;
  const tick = progress?.phase(title, Math.ceil((to - from) / FILL_BATCH));
  for (let at = from; at < to; at += FILL_BATCH) {
    await backup.store(source.batch(at, false, Math.min(FILL_BATCH, to - at)), 'added');
    tick?.();
  }
}
