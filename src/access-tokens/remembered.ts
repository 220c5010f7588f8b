import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { harmless } from '../room-keys/observer.js';
import { MatrixError } from '../room-keys/room-keys.errors.js';
import type { AccessTokenVerifier, TokenOwner } from '../room-keys/room-keys-options.interface.js';
import { masqueradeOf } from './masquerade.js';
import { checkWhole } from './option-checks.js';

/**
 * An owner whose token ends at a time that is known.
 *
 * @publicApi
 */
export interface ExpiringTokenOwner extends TokenOwner {
  /** Milliseconds that the token still has: it is remembered no longer. Default: no end. */
  expiresInMs?: number | undefined;
}

/**
 * How long, and how many.
 *
 * @publicApi
 */
export interface RememberedOptions {
  /**
   * Milliseconds that an owner is remembered, counted from the moment of asking: a token that ends
   * at the homeserver works here for no longer than that. 0: every request asks anew, but for
   * those that come while their own question is under way. Default: 30,000.
   */
  ttlMs?: number | undefined;

  /**
   * Milliseconds that a refusal is remembered, if `ttlMs` is not less: long enough for a burst of
   * requests with a token that has ended. Default: 1,000.
   */
  refusalTtlMs?: number | undefined;

  /** The most answers that are remembered; the one used least recently goes. Default: 10,000. */
  max?: number | undefined;

  /**
   * Is told of each question whether it was answered without asking the other verifier anew. What
   * it throws is logged once, and harms nothing. Default: none.
   */
  onLookup?: ((hit: boolean) => void) | undefined;

  /** The time in milliseconds, on a clock that is never set back. Default: `performance.now`. */
  now?: (() => number) | undefined;
}

/** What a verifier says about a token, good or bad, as opposed to that it does not know. */
type Verdict = { owner: ExpiringTokenOwner | null } | { refusal: MatrixError };

/** A Map holds no more. */
const MOST = 2 ** 24;

/**
 * A verifier that asks another one, and remembers for a short time what it said: the tokens
 * themselves are not kept, but SHA-256 of them. Requests with the same token that come at once ask
 * once. That the question could not be answered is never remembered, while the answers that are
 * remembered hold meanwhile.
 *
 * The other one's answer must depend on nothing but the token and the query parameters of
 * application services (`user_id`, `device_id`).
 *
 * @throws Error at once, for an option that cannot be used
 * @publicApi
 */
export function remembered(
  verify: AccessTokenVerifier,
  {
    ttlMs = 30_000,
    refusalTtlMs = 1000,
    max = 10_000,
    onLookup,
    now = () => performance.now(),
  }: RememberedOptions = {},
): AccessTokenVerifier {
  checkWhole('ttlMs', ttlMs, 0, Number.MAX_SAFE_INTEGER);
  checkWhole('refusalTtlMs', refusalTtlMs, 0, Number.MAX_SAFE_INTEGER);
  checkWhole('max', max, 1, MOST);
  // in the order of their last use, the least recent first
  const kept = new Map<string, { verdict: Verdict; until: number }>();
  const underWay = new Map<string, Promise<Verdict>>();

  const recall = (key: string): Verdict | undefined => {
    const entry = kept.get(key);
    if (!entry) return undefined;
    kept.delete(key);
    if (entry.until <= now()) return undefined;
    kept.set(key, entry);
    return entry.verdict;
  };

  const keep = (key: string, verdict: Verdict, asked: number) => {
    const lifetime = lifetimeOf(verdict, ttlMs, refusalTtlMs);
    if (lifetime <= 0) return;
    kept.delete(key);
    kept.set(key, { verdict, until: asked + lifetime });
    const [oldest] = kept.keys();
    if (kept.size > max && oldest !== undefined) kept.delete(oldest);
  };

  const askOnce = (key: string, token: string, request: IncomingMessage): Promise<Verdict> => {
    const asked = now();
    const question = verdictOf(verify, token, request)
      .then((verdict) => {
        keep(key, verdict, asked);
        return verdict;
      })
      .finally(() => underWay.delete(key));
    underWay.set(key, question);
    return question;
  };

  const tell = onLookup && harmless('onLookup', onLookup);

  return async (token, request) => {
    const key = keyOf(token, request);
    const known = recall(key) ?? underWay.get(key);
    tell?.(known !== undefined);
    const verdict = await (known ?? askOnce(key, token, request));
    if ('refusal' in verdict) throw verdict.refusal;
    return verdict.owner;
  };
}

async function verdictOf(
  verify: AccessTokenVerifier,
  token: string,
  request: IncomingMessage,
): Promise<Verdict> {
  try {
    return { owner: await verify(token, request) };
  } catch (error) {
    // a 503 is no verdict, nor is a 429
    const isRefusal = error instanceof MatrixError && [400, 401, 403].includes(error.getStatus());
    if (isRefusal) return { refusal: error };
    throw error;
  }
}

function lifetimeOf(verdict: Verdict, ttlMs: number, refusalTtlMs: number): number {
  if ('refusal' in verdict || verdict.owner === null) return Math.min(ttlMs, refusalTtlMs);
  return Math.min(ttlMs, verdict.owner.expiresInMs ?? Infinity);
}

function keyOf(token: string, request: IncomingMessage): string {
  return createHash('sha256')
    .update(JSON.stringify([token, masqueradeOf(request).toString()]))
    .digest('base64');
}
