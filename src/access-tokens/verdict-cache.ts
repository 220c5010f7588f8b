import type { MatrixError } from '../room-keys/room-keys.errors.js';
import type { TokenOwner } from '../room-keys/room-keys-options.interface.js';

/**
 * An owner whose token ends at a time that is known.
 *
 * @publicApi
 */
export interface ExpiringTokenOwner extends TokenOwner {
  /** Milliseconds until the token expires: it is cached no longer. Default: no end. */
  expiresInMs?: number | undefined;
}

/** What a verifier says about a token, good or bad, as opposed to a check that failed. */
export type Verdict = { owner: ExpiringTokenOwner | null } | { refusal: MatrixError };

/** How long verdicts hold, and how many are kept. */
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
 * Verdicts by the hash of the token. Accepted and refused tokens are kept apart, so that made-up tokens,
 * of which there can be any number, cannot push out good ones.
 */
export class VerdictCache {
  private readonly accepted: LeastRecentlyUsed<Entry>;
  private readonly refused: LeastRecentlyUsed<Entry>;

  constructor(private readonly limits: VerdictCacheLimits) {
    this.accepted = new LeastRecentlyUsed(limits.maxAccepted);
    this.refused = new LeastRecentlyUsed(limits.maxRefused);
  }

  /** The verdict that holds at this moment. */
  get(key: string, now: number): Verdict | undefined {
    const entry = this.accepted.get(key) ?? this.refused.get(key);
    return entry && now < entry.expiresAt ? entry.verdict : undefined;
  }

  /** Whether the last verdict was good, even if it has expired; until newer ones push it out. */
  wasAccepted(key: string): boolean {
    return this.accepted.has(key);
  }

  /** Keeps a verdict; its time counts from the moment at which the check began. */
  set(key: string, verdict: Verdict, verifiedAt: number): void {
    const { ttlMs, refusalTtlMs } = this.limits;
    if ('refusal' in verdict || verdict.owner === null) {
      this.accepted.delete(key);
      const lifetime = Math.min(ttlMs, refusalTtlMs);
      if (lifetime > 0) this.refused.set(key, { verdict, expiresAt: verifiedAt + lifetime });
    } else {
      this.refused.delete(key);
      const lifetime = Math.min(ttlMs, verdict.owner.expiresInMs ?? Infinity);
      // kept for wasAccepted, even if it never holds
      this.accepted.set(key, { verdict, expiresAt: verifiedAt + lifetime });
    }
  }
}

/** A map of a maximum size, which the entry that was used least recently leaves first. */
class LeastRecentlyUsed<Value> {
  /** In the order of their last use. */
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
