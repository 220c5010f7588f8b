import type { KeyRank } from './room-key.js';

/**
 * THE RULE: which of two keys for the same session is kept.
 *
 * True if `candidate` replaces `stored`: a verified key beats an unverified one; if that is equal,
 * the lower `firstMessageIndex` wins; if both are equal, the lower `forwardedCount`. This is one
 * lexicographic order, not three independent tests: an unverified key never replaces a verified one,
 * however low its index. If all three are equal, the stored key stays, so that repeating an upload is
 * a no-op.
 *
 * Specification: client-server API, "Server-side key backups", `PUT /room_keys/keys`.
 */
export function isBetter(candidate: KeyRank, stored: KeyRank): boolean {
  if (candidate.isVerified !== stored.isVerified) return candidate.isVerified;
  if (candidate.firstMessageIndex !== stored.firstMessageIndex) {
    return candidate.firstMessageIndex < stored.firstMessageIndex;
  }
  return candidate.forwardedCount < stored.forwardedCount;
}

/** The keys of an upload or an import that have to be written. */
export interface Writes<K extends KeyRank, S extends KeyRank> {
  inserts: K[];
  updates: { key: K; stored: S }[];
}

/**
 * Selects the keys that are not stored yet and those that are better than the stored one.
 *
 * @param stored the rank of the stored key for each of `keys`, in their order
 */
export function selectWrites<K extends KeyRank, S extends KeyRank>(
  keys: readonly K[],
  stored: readonly (S | undefined)[],
): Writes<K, S> {
  const writes: Writes<K, S> = { inserts: [], updates: [] };
  keys.forEach((key, index) => {
    const rank = stored[index];
    if (!rank) writes.inserts.push(key);
    else if (isBetter(key, rank)) writes.updates.push({ key, stored: rank });
  });
  return writes;
}

/** Whether there is nothing to write. */
export const isEmpty = ({ inserts, updates }: Writes<KeyRank, KeyRank>): boolean =>
  inserts.length === 0 && updates.length === 0;
