import type { MatrixError } from '../room-keys/room-keys.errors.js';
import type { TokenOwner } from '../room-keys/room-keys-options.interface.js';

/**
 * An owner whose token has a known expiry time.
 *
 * @publicApi
 */
export interface ExpiringTokenOwner extends TokenOwner {
  /** Milliseconds until the token expires: it is not cached for longer. Default: it does not expire. */
  expiresInMs?: number | undefined;
}

/** A verifier's result for a token, good or bad, as opposed to a check that failed. */
export type Verdict = { owner: ExpiringTokenOwner | null } | { refusal: MatrixError };

/** Lifetime and number of cached verdicts. */
export interface VerdictCacheLimits {
  ttlMs: number;
  refusalTtlMs: number;
  maxAccepted: number;
  maxRefused: number;
}

interface Entry {
  verdict: Verdict;
  expiresAt: number;
}

/**
 * Verdicts by the hash of the token. Accepted and refused tokens are kept apart, so that any number of
 * made-up tokens cannot evict good ones.
 */
export class VerdictCache {
  private readonly accepted: LeastRecentlyUsed<Entry>;
  private readonly refused: LeastRecentlyUsed<Entry>;

  constructor(private readonly limits: VerdictCacheLimits) {
    this.accepted = new LeastRecentlyUsed(limits.maxAccepted);
    this.refused = new LeastRecentlyUsed(limits.maxRefused);
  }

  /** The verdict, unless it has expired. */
  get(key: string, now: number): Verdict | undefined {
    const entry = this.accepted.get(key) ?? this.refused.get(key);
    return entry && now < entry.expiresAt ? entry.verdict : undefined;
  }

  /** Whether the last verdict was good, even if it has expired; until newer ones evict it. */
  wasAccepted(key: string): boolean {
    return this.accepted.has(key);
  }

  /** Stores a verdict; its lifetime counts from the start of the check. */
  set(key: string, verdict: Verdict, verifiedAt: number): void {
    const { ttlMs, refusalTtlMs } = this.limits;
    if ('refusal' in verdict || verdict.owner === null) {
      this.accepted.delete(key);
      const lifetime = Math.min(ttlMs, refusalTtlMs);
      if (lifetime > 0) this.refused.set(key, { verdict, expiresAt: verifiedAt + lifetime });
    } else {
      this.refused.delete(key);
      const lifetime = Math.min(ttlMs, verdict.owner.expiresInMs ?? Infinity);
      // kept for wasAccepted, even if it has expired already
      this.accepted.set(key, { verdict, expiresAt: verifiedAt + lifetime });
    }
  }
}

/** A map of a maximum size that evicts the least recently used entry. */
class LeastRecentlyUsed<Value> {
  /** In order of last use. */
  private readonly entries = new Map<string, Value>();

  constructor(private readonly max: number) {}

  get(key: string): Value | undefined {
    const value = this.entries.get(key);
    if (value === undefined) return undefined;
    this.entries.delete(key);
    this.entries.set(key, value);
    return value;
  }

  has(key: string): boolean {
    return this.entries.has(key);
  }

  set(key: string, value: Value): void {
    this.entries.delete(key);
    this.entries.set(key, value);
    if (this.entries.size <= this.max) return;
    const [oldest] = this.entries.keys();
    if (oldest !== undefined) this.entries.delete(oldest);
  }

  delete(key: string): void {
    this.entries.delete(key);
  }
}
