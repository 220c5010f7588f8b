import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { harmless } from '../room-keys/observer.js';
import { MAX_TIMER_MS } from '../room-keys/option-rules.js';
import { MatrixError } from '../room-keys/room-keys.errors.js';
import type { AccessTokenVerifier } from '../room-keys/room-keys-options.interface.js';
import { type Check, CheckQueue } from './check-queue.js';
import { clientAddressOf } from './client-address.js';
import { masqueradeOf } from './application-service-tokens.js';
import { checkWhole } from './option-checks.js';
import { type Verdict, VerdictCache } from './verdict-cache.js';

/**
 * Lifetime and number of cached verdicts, and number of concurrent checks.
 *
 * @publicApi
 */
export interface CachedOptions {
  /**
   * Milliseconds for which an owner is cached, counted from the start of the check: a token revoked
   * at the homeserver works here for no longer than that. 0: every request is checked anew, except
   * those that arrive during a check of the same token. Default: 30,000.
   */
  ttlMs?: number | undefined;

  /**
   * Milliseconds for which a refusal is cached, at most `ttlMs`: long enough for a burst of requests
   * with an expired token. Default: 1,000.
   */
  refusalTtlMs?: number | undefined;

  /**
   * Maximum number of cached accepted tokens; the least recently used one is dropped first. While a
   * token is cached, even after it expired, checks of it take precedence over those of tokens never
   * seen before. Default: 10,000.
   */
  max?: number | undefined;

  /** Maximum number of cached refused tokens, kept apart from the accepted ones. Default: 1,000. */
  maxRefusals?: number | undefined;

  /**
   * Maximum number of concurrent checks, at most half of them for one client address. Further checks
   * wait. Default: 32.
   */
  checksAtOnce?: number | undefined;

  /**
   * Maximum number of waiting checks. Beyond it, the one that has waited longest is answered 503.
   * Default: 5,000.
   */
  maxWaiting?: number | undefined;

  /**
   * Maximum number of waiting checks of one client address. Beyond it, the one that has waited
   * longest is answered 429. Default: 500.
   */
  maxWaitingPerAddress?: number | undefined;

  /**
   * Milliseconds that a check waits before it is answered 429, or 503 if other addresses are the reason.
   * Use the timeout of a check. Default: 5,000.
   */
  maxWaitMs?: number | undefined;

  /**
   * Called for each request, with whether it was answered without a new check. If it throws, the first
   * error is logged, and the request is not affected. The same applies to the next two. Default: none.
   */
  onLookup?: ((hit: boolean) => void) | undefined;

  /** Called with the number of running and waiting checks, whenever they change. Default: none. */
  onQueueChange?: ((underWay: number, waiting: number) => void) | undefined;

  /**
   * Called for each check that was refused because too many waited, or for too long: 'address' if
   * the answer was 429, 'process' if it was 503. Default: none.
   */
  onOverload?: ((overload: 'address' | 'process') => void) | undefined;

  /** Milliseconds of a monotonic clock. Default: `performance.now`. */
  now?: (() => number) | undefined;
}

/** The maximum size of a Map. */
const MAX_ENTRIES = 2 ** 24;

/**
 * A verifier that passes tokens to another one, caches its verdicts for a short time and limits the
 * number of concurrent checks. Only the SHA-256 of a token is kept. Simultaneous requests with the same
 * token share one check. A failed check is never cached, and cached verdicts stay valid meanwhile.
 *
 * A cached token is answered without waiting. Other checks wait for their turn in a {@link CheckQueue}:
 * tokens that were accepted before come first, then client addresses take turns, and of one address the
 * newest check comes first. Made-up tokens therefore neither overload the other verifier nor lock out
 * users. The client address is that of the connection, or the last one in `X-Forwarded-For` if the
 * connection comes from a loopback or private address.
 *
 * The verdict must depend on nothing but the token and the query parameters of application services
 * (`user_id`, `device_id`).
 *
 * @throws Error immediately, for an invalid option
 * @publicApi
 */
export function cached(
  verify: AccessTokenVerifier,
  {
    ttlMs = 30_000,
    refusalTtlMs = 1000,
    max = 10_000,
    maxRefusals = 1000,
    checksAtOnce = 32,
    maxWaiting = 5000,
    maxWaitingPerAddress = 500,
    maxWaitMs = 5000,
    onLookup,
    onQueueChange,
    onOverload,
    now = () => performance.now(),
  }: CachedOptions = {},
): AccessTokenVerifier {
  checkWhole('ttlMs', ttlMs, 0, Number.MAX_SAFE_INTEGER);
  checkWhole('refusalTtlMs', refusalTtlMs, 0, Number.MAX_SAFE_INTEGER);
  checkWhole('max', max, 1, MAX_ENTRIES);
  checkWhole('maxRefusals', maxRefusals, 1, MAX_ENTRIES);
  checkWhole('checksAtOnce', checksAtOnce, 1, MAX_ENTRIES);
  checkWhole('maxWaiting', maxWaiting, 0, MAX_ENTRIES);
  checkWhole('maxWaitingPerAddress', maxWaitingPerAddress, 0, MAX_ENTRIES);
  checkWhole('maxWaitMs', maxWaitMs, 1, MAX_TIMER_MS);

  const cache = new VerdictCache({
    ttlMs,
    refusalTtlMs,
    maxAccepted: max,
    maxRefused: maxRefusals,
  });
  const queue = new CheckQueue(
    { atOnce: checksAtOnce, maxWaiting, maxWaitingPerAddress, maxWaitMs },
    {
      onChange: onQueueChange && harmless('onQueueChange', onQueueChange),
      onRefused: onOverload && harmless('onOverload', onOverload),
    },
  );
  const reportLookup = onLookup && harmless('onLookup', onLookup);
  /** Running and waiting checks. */
  const pending = new Map<string, { check: Check; verdict: Promise<Verdict> }>();

  const startCheck = (key: string, token: string, request: IncomingMessage): Promise<Verdict> => {
    const check = { address: clientAddressOf(request), isPreferred: cache.wasAccepted(key) };
    const work = async () => {
      const verifiedAt = now();
      const verdict = await verdictOf(verify, token, request);
      cache.set(key, verdict, verifiedAt);
      return verdict;
    };
    const verdict = queue.run(check, work).finally(() => pending.delete(key));
    pending.set(key, { check, verdict });
    return verdict;
  };

  const lookUp = (key: string, request: IncomingMessage): Promise<Verdict> | undefined => {
    const cached = cache.get(key, now());
    if (cached) return Promise.resolve(cached);
    const shared = pending.get(key);
    if (shared) queue.renew(shared.check, clientAddressOf(request));
    return shared?.verdict;
  };

  return async (token, request) => {
    const key = keyOf(token, request);
    const known = lookUp(key, request);
    reportLookup?.(known !== undefined);
    const verdict = await (known ?? startCheck(key, token, request));
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
    // neither 503 nor 429 is a verdict
    const isRefusal = error instanceof MatrixError && [400, 401, 403].includes(error.getStatus());
    if (isRefusal) return { refusal: error };
    throw error;
  }
}

function keyOf(token: string, request: IncomingMessage): string {
  return createHash('sha256')
    .update(JSON.stringify([token, masqueradeOf(request).toString()]))
    .digest('base64');
}
