import nodeCluster from 'node:cluster';
import { Logger } from '@nestjs/common';
import {
  BurstyRateLimiter,
  RateLimiterCluster,
  RateLimiterMemory,
  RateLimiterRedis,
  RateLimiterRes,
} from 'rate-limiter-flexible';
import {
  checkOptionRules,
  isObject,
  isText,
  isWhole,
  type OptionRule,
} from './room-keys/option-rules.js';
import type { RateLimiter } from './room-keys/room-keys-options.interface.js';

export type { RateLimitedRequest, RateLimiter } from './room-keys/room-keys-options.interface.js';

/**
 * A request rate.
 *
 * @publicApi
 */
export interface RequestRate {
  /** Requests per second: a whole number above 0. Default: see {@link RateLimitsOptions}. */
  perSecond?: number | undefined;

  /**
   * Requests per minute beyond `perSecond`: a whole number, 0 for none. Default: see
   * {@link RateLimitsOptions}.
   */
  burst?: number | undefined;
}

/**
 * Request limits per user, all devices together, and where requests are counted.
 *
 * @publicApi
 */
export interface RateLimitsOptions {
  /** Operations that only read. Default: 2,000 a second, and 240,000 a minute beyond. */
  reads?: RequestRate | undefined;

  /** Operations that store or delete. Default: 500 a second, and 120,000 a minute beyond. */
  writes?: RequestRate | undefined;

  /**
   * A Redis client through which processes share their counts; if Redis does not answer within half a
   * second, each process counts for itself until it is back. Default: none, each process counts for
   * itself.
   */
  redis?: RedisClient | undefined;

  /**
   * Whether the workers of Node's `cluster`, of which this process is one, share their counts in the
   * primary, which must create a `new RateLimiterClusterMaster()` of `rate-limiter-flexible` before it
   * starts them. If it does not answer within half a second, each counts for itself until it does.
   * Cannot be combined with `redis`. Default: false.
   */
  cluster?: boolean | undefined;

  /** Prefix of the keys in Redis. Default: `room_keys`. */
  redisPrefix?: string | undefined;
}

/**
 * The part of a Redis client that is used, as in `ioredis` 5.
 *
 * @publicApi
 */
export interface RedisClient {
  /** Only a client that is `ready` is used. */
  readonly status: string;
  defineCommand(name: string, definition: { numberOfKeys?: number; lua: string }): void;
}

/** More than one connection without a network in between can reach: see docs/security.md for the arithmetic. */
export const DEFAULT_RATES = {
  reads: { perSecond: 2000, burst: 240_000 },
  writes: { perSecond: 500, burst: 120_000 },
} as const;

const BURST_SECONDS = 60;
/** Timeout of Redis or of the primary. */
const TIMEOUT_MS = 500;
/** Interval between attempts to reach it again. */
const PAUSE_MS = 1000;

const logger = new Logger('RoomKeysRateLimit');

/** Counts a request of a user. @returns milliseconds until the next one, undefined if it may pass */
type Counter = (userId: string) => Promise<number | undefined>;

/**
 * A limiter that counts the requests of each user, reads and writes separately; refused requests are
 * not counted against the next second. It keeps a number for each user who made a request in the last
 * second, or exceeded `perSecond` in the last minute.
 *
 * @throws Error immediately, for an invalid option
 * @publicApi
 */
export function rateLimits(options: RateLimitsOptions = {}): RateLimiter {
  check(options);
  const reads = counterOf('reads', options);
  const writes = counterOf('writes', options);
  return ({ owner, kind }) => (kind === 'read' ? reads : writes)(owner.userId);
}

function counterOf(of: 'reads' | 'writes', options: RateLimitsOptions): Counter {
  const { perSecond = DEFAULT_RATES[of].perSecond, burst = DEFAULT_RATES[of].burst } =
    options[of] ?? {};
  const { redis, redisPrefix = 'room_keys', cluster = false } = options;
  const rate = { points: perSecond, duration: 1, keyPrefix: `${redisPrefix}:${of}` };
  const more = { points: burst, duration: BURST_SECONDS, keyPrefix: `${redisPrefix}:${of}_burst` };
  const alone = counting(
    new BurstyRateLimiter(new RateLimiterMemory(rate), new RateLimiterMemory(more)),
  );
  if (cluster) {
    const inPrimary = (limit: typeof rate) =>
      new RateLimiterCluster({ ...limit, timeoutMs: TIMEOUT_MS });
    const together = counting(new BurstyRateLimiter(inPrimary(rate), inPrimary(more)));
    return insured(together, alone, 'The primary process');
  }
  if (!redis) return alone;
  const inRedis = (limit: typeof rate) =>
    new RateLimiterRedis({
      ...limit,
      storeClient: redis,
      rejectIfRedisNotReady: true,
      // users over the limit are refused from memory
      inMemoryBlockOnConsumed: limit.points,
    });
  const together = counting(new BurstyRateLimiter(inRedis(rate), inRedis(more)));
  return insured(together, alone, 'Redis');
}

function counting(limiter: BurstyRateLimiter): Counter {
  return async (userId) => {
    try {
      await limiter.consume(userId);
      return undefined;
    } catch (refusal) {
      // a refusal is thrown like a failure, but is not an Error
      if (refusal instanceof RateLimiterRes) return refusal.msBeforeNext;
      throw refusal;
    }
  };
}

/**
 * Counts together with other processes, or alone as long as that fails.
 *
 * @param where the shared counts are, for log lines
 */
function insured(together: Counter, alone: Counter, where: string): Counter {
  let isShared = true;
  let retryAt = 0;
  return async (userId) => {
    if (!isShared) {
      const now = performance.now();
      if (now < retryAt) return alone(userId);
      // one request tries whether it is back; the others do not wait for it
      retryAt = now + PAUSE_MS;
    }
    try {
      const waitMs = await inTime(together(userId));
      if (!isShared) logger.warn(`${where} is available again: rate limits are shared.`);
      isShared = true;
      return waitMs;
    } catch (error) {
      if (isShared) {
        retryAt = performance.now() + PAUSE_MS;
        const why = error instanceof Error ? error.message : 'no reason given';
        logger.warn(
          `${where} failed, each process counts requests for itself until it recovers: ${why}`,
        );
      }
      isShared = false;
      return alone(userId);
    }
  };
}

async function inTime<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`no answer in ${TIMEOUT_MS} ms`));
    }, TIMEOUT_MS);
  });
  try {
    return await Promise.race([answer, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

const RULES: Record<keyof RateLimitsOptions, OptionRule> = {
  reads: [isObject, 'an object', '{ perSecond: 100, burst: 10000 }, or leave it out'],
  writes: [isObject, 'an object', '{ perSecond: 100, burst: 10000 }, or leave it out'],
  redis: [
    (value) => typeof (value as Partial<RedisClient> | null)?.defineCommand === 'function',
    'a client of ioredis',
    'new Redis(url)',
  ],
  redisPrefix: [isText, 'a string', "'room_keys', or leave it out"],
  cluster: [(value) => typeof value === 'boolean', 'true or false', 'true, or leave it out'],
};

const RATE_RULES: Record<keyof RequestRate, OptionRule> = {
  perSecond: [isWhole(1), 'a whole number above 0', '100'],
  burst: [isWhole(0), 'a whole number, 0 for no more than perSecond', '10000'],
};

function check(options: RateLimitsOptions): void {
  checkOptionRules('rateLimits', options, RULES);
  const { reads = {}, writes = {}, cluster, redis } = options;
  checkOptionRules('rateLimits', reads, RATE_RULES, 'reads.');
  checkOptionRules('rateLimits', writes, RATE_RULES, 'writes.');
  if (cluster && redis) {
    throw new Error(
      "rateLimits: 'cluster' and 'redis' contradict each other, because only one of them counts. Set only one of them.",
    );
  }
  if (cluster && !nodeCluster.isWorker) {
    throw new Error(
      "rateLimits: 'cluster' requires a worker of Node's cluster, which this process is not. Set false, or leave it out.",
    );
  }
}
