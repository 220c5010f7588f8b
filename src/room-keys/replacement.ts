import type { KeyRank } from './room-key.js';

/**
 * THE RULE: which of two keys for the same session stays.
 *
 * True when `candidate` is to replace `stored`: a verified key beats an unverified one; among
 * equals in that, the lower `firstMessageIndex` wins; among equals in both, the lower
 * `forwardedCount`. It is one order over three criteria, not three independent tests: an
 * unverified key never replaces a verified one, however low its index. Equal in all three, the
 * stored key stays, which makes an upload that is sent again a no-op.
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
