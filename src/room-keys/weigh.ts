import { isBetter } from './replacement.js';
import type { RoomKey } from './room-key.js';
import type { StoredRank } from './storage/stored-ranks.js';

/** The keys that are to be written, of those that somebody brings. */
export interface Weighed<K extends RoomKey = RoomKey> {
  added: K[];
  better: { key: K; stored: StoredRank }[];
}

/**
 * Divides keys into those that are new and those that are better than the stored one; leaves out the rest.
 *
 * @param ranks of the stored ones, in the order of `keys`
 */
export function weigh<K extends RoomKey>(
  keys: readonly K[],
  ranks: readonly (StoredRank | undefined)[],
): Weighed<K> {
  const { added, better }: Weighed<K> = { added: [], better: [] };
  keys.forEach((key, index) => {
    const stored = ranks[index];
    if (!stored) added.push(key);
    else if (isBetter(key, stored)) better.push({ key, stored });
  });
  return { added, better };
}

/** Whether there is nothing to write. */
export const isNothing = ({ added, better }: Weighed): boolean =>
  added.length === 0 && better.length === 0;
