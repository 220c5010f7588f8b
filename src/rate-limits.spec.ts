/**
 * Proves how many requests the ready-made limiter lets each user make, on a clock that the test sets;
 * that the defaults let all of what a real client does pass, however fast it were; and which options
 * are refused. Counting together in Redis is proved in test/redis/.
 */
import { jest } from '@jest/globals';
import { type RateLimitsOptions, rateLimits } from './rate-limits.js';
import type { RateLimitedRequest, RateLimiter } from './room-keys/room-keys-options.interface.js';

beforeEach(() => {
  jest.useFakeTimers();
});

afterEach(() => {
  jest.useRealTimers();
});

const read = (userId: string): RateLimitedRequest => ({
  owner: { userId },
  operation: 'getRoomKeysVersionCurrent',
  kind: 'read',
});
const write = (userId: string): RateLimitedRequest => ({
  owner: { userId },
  operation: 'putRoomKeys',
  kind: 'write',
});

/** How many of so many requests that come at once are let through. */
async function passing(limiter: RateLimiter, request: RateLimitedRequest, count: number) {
  const waits = [];
  for (let n = 0; n < count; n++) waits.push(await limiter(request, undefined as never));
  return waits.filter((wait) => wait === undefined).length;
}

describe('rateLimits', () => {
  it('lets perSecond requests through in each second, and burst more in each minute', async () => {
    const limiter = rateLimits({ reads: { perSecond: 3, burst: 4 } });
    expect(await passing(limiter, read('@a:b'), 20)).toBe(3 + 4);
    for (let second = 1; second < 59; second++) {
      jest.advanceTimersByTime(1000);
      expect(await passing(limiter, read('@a:b'), 20)).toBe(3);
    }
    jest.advanceTimersByTime(2000);
    expect(await passing(limiter, read('@a:b'), 20)).toBe(3 + 4);
  });

  it('keeps the burst of who stays within perSecond', async () => {
    const limiter = rateLimits({ writes: { perSecond: 3, burst: 4 } });
    for (let second = 0; second < 10; second++) {
      expect(await passing(limiter, write('@a:b'), 3)).toBe(3);
      jest.advanceTimersByTime(1000);
    }
    expect(await passing(limiter, write('@a:b'), 20)).toBe(3 + 4);
  });

  it('says when the next request may come: with the next second, if not before', async () => {
    const limiter = rateLimits({ reads: { perSecond: 1, burst: 0 } });
    expect(await limiter(read('@a:b'), undefined as never)).toBeUndefined();
    jest.advanceTimersByTime(300);
    expect(await limiter(read('@a:b'), undefined as never)).toBe(700);
    jest.advanceTimersByTime(700);
    expect(await limiter(read('@a:b'), undefined as never)).toBeUndefined();
  });

  it('counts each user, reads and writes, apart', async () => {
    const limiter = rateLimits({
      reads: { perSecond: 2, burst: 0 },
      writes: { perSecond: 1, burst: 0 },
    });
    const users = ['@a:b', '@A:b', '@a:b2', '@a', 'a:b'];
    for (const user of users) {
      expect(await passing(limiter, write(user), 5)).toBe(1);
      expect(await passing(limiter, read(user), 5)).toBe(2);
    }
  });

  it('counts devices and tokens of one user together', async () => {
    const limiter = rateLimits({ reads: { perSecond: 2, burst: 0 } });
    const from = (deviceId: string) => ({ ...read('@a:b'), owner: { userId: '@a:b', deviceId } });
    expect(await passing(limiter, from('PHONE'), 2)).toBe(2);
    expect(await passing(limiter, from('LAPTOP'), 2)).toBe(0);
  });

  it('keeps no user for longer than necessary', async () => {
    const limiter = rateLimits({ reads: { perSecond: 1, burst: 1 } });
    for (let n = 0; n < 500; n++) await passing(limiter, read(`@user${n}:b`), n % 2 === 0 ? 1 : 3);
    // each number that is kept has a timer that takes it away
    expect(jest.getTimerCount()).toBe(500 + 250);
    jest.advanceTimersByTime(1000);
    expect(jest.getTimerCount()).toBe(250);
    jest.advanceTimersByTime(60_000);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('by default lets 400,000 keys up and down in requests of 100 pass, even all in one moment', async () => {
    const limiter = rateLimits();
    expect(await passing(limiter, write('@a:b'), 4000)).toBe(4000);
    expect(await passing(limiter, read('@a:b'), 4000)).toBe(4000);
  });

  it('by default lets one connection pass that goes on at 6,000 reads or 2,500 writes a second', async () => {
    const limiter = rateLimits();
    for (let second = 0; second < 70; second++) {
      expect(await passing(limiter, read('@a:b'), 6000)).toBe(6000);
      expect(await passing(limiter, write('@a:b'), 2500)).toBe(2500);
      jest.advanceTimersByTime(1000);
    }
  });

  it('by default stops who goes on faster, until the next second', async () => {
    const limiter = rateLimits();
    expect(await passing(limiter, read('@a:b'), 250_000)).toBe(242_000);
    expect(await limiter(read('@a:b'), undefined as never)).toBeLessThanOrEqual(1000);
    expect(await passing(limiter, write('@a:b'), 130_000)).toBe(120_500);
  });
});

describe('the options of rateLimits', () => {
  it.each<RateLimitsOptions>([
    {},
    { reads: undefined, writes: undefined, redis: undefined, redisPrefix: undefined },
    { cluster: undefined },
    { cluster: false },
    { reads: {}, writes: { perSecond: undefined, burst: undefined } },
    { reads: { perSecond: 1, burst: 0 }, writes: { perSecond: 1_000_000, burst: 1 } },
    { redisPrefix: 'keys' },
  ])('can be %j', (options) => {
    expect(() => rateLimits(options)).not.toThrow();
  });

  it.each([
    [{ perSecond: 5 }, /'perSecond'/],
    [{ reads: 5 }, /'reads'/],
    [{ reads: null }, /'reads'/],
    [{ reads: { perSecond: 0 } }, /'reads\.perSecond'/],
    [{ reads: { perSecond: 0.2 } }, /'reads\.perSecond'/],
    [{ writes: { perSecond: '5' } }, /'writes\.perSecond'/],
    [{ writes: { perSecond: NaN } }, /'writes\.perSecond'/],
    [{ writes: { burst: -1 } }, /'writes\.burst'/],
    [{ writes: { burst_count: 1 } }, /'writes\.burst_count'/],
    [{ redis: 'redis://localhost' }, /'redis'/],
    [{ redisPrefix: '' }, /'redisPrefix'/],
    [{ cluster: 'yes' }, /'cluster'/],
    [{ cluster: true, redis: { defineCommand: () => undefined } }, /'cluster' and 'redis'/],
    // these tests run in no worker of Node's cluster
    [{ cluster: true }, /'cluster'/],
  ])('cannot be %j, and one sentence says what to write', (options, named) => {
    const attempt = () => rateLimits(options as RateLimitsOptions);
    expect(attempt).toThrow(/^rateLimits: [^\n]+\. (?:Set|Use) [^\n]+\.$/);
    expect(attempt).toThrow(named);
  });
});
