/**
 * Proves that a budget holds what it says and no more, that those who take all they can get leave room
 * for the batches of others, and that all of it comes back.
 */
import fc from 'fast-check';
import { BodyMemoryLimit } from './body-memory-limit.js';

const MIB = 1024 * 1024;
const BATCH = 86_000;
const busy = expect.objectContaining({
  status: 503,
  headers: { 'Retry-After': '2' },
  body: { errcode: 'M_UNKNOWN', error: expect.any(String) as string },
}) as Error;

/** How many requests, each of a user of its own, are let in. */
function letIn(
  budget: BodyMemoryLimit,
  bytes: number,
  userOf = (n: number) => `@u${n}:hs1`,
): number {
  for (let n = 0; ; n++) {
    const { used } = budget;
    try {
      budget.open(userOf(n)).reserve(bytes);
    } catch (error) {
      expect(error).toEqual(busy);
      expect(budget.used).toBe(used);
      return n;
    }
  }
}

describe('the budget of bodies, with its defaults', () => {
  it('takes 780 batches of clients at once', () => {
    expect(letIn(new BodyMemoryLimit({}), BATCH)).toBe(780);
  });

  it('takes two bodies of the largest size, and 390 batches beside them', () => {
    const budget = new BodyMemoryLimit({});
    expect(letIn(budget, 16 * MIB)).toBe(2);
    const other = (n: number) => `@other${n}:hs1`;
    expect(letIn(budget, BATCH, other)).toBe(390);
  });

  it('takes a quarter of it from one user', () => {
    const alice = () => '@alice:hs1';
    expect(letIn(new BodyMemoryLimit({}), 16 * MIB, alice)).toBe(1);
    expect(letIn(new BodyMemoryLimit({}), BATCH, alice)).toBe(Math.floor((16 * MIB) / BATCH));
  });

  it('takes twelve batches of each user when a half of it is taken', () => {
    const budget = new BodyMemoryLimit({});
    letIn(budget, 16 * MIB);
    expect(letIn(budget, BATCH, () => '@alice:hs1')).toBe(12);
  });

  it.each([1, 2, 20, 30])('has room for batches when %d users have all they can get', (users) => {
    const budget = new BodyMemoryLimit({});
    for (const bytes of [16 * MIB, 4 * MIB, MIB, BATCH, 1000]) {
      for (let n = 0; n < users; n++) letIn(budget, bytes, () => `@u${n}:hs1`);
    }
    expect(letIn(budget, BATCH, () => '@alice:hs1')).toBeGreaterThanOrEqual(12);
  });

  it('grows with the largest body', () => {
    expect(letIn(new BodyMemoryLimit({ maxBodyBytes: 128 * MIB }), 128 * MIB)).toBe(2);
  });
});

it('a budget of two bodies takes one of the largest size', () => {
  const options = { maxBodyBytes: 16 * MIB, maxBodyBytesAtOnce: 32 * MIB };
  expect(letIn(new BodyMemoryLimit(options), 16 * MIB)).toBe(1);
});

it('what is held grows, and never shrinks before it is released', () => {
  const budget = new BodyMemoryLimit({ maxBodyBytes: 1000 });
  const hold = budget.open('@alice:hs1');
  for (const [bytes, used] of [
    [0, 0],
    [10, 10],
    [500, 500],
    [20, 500],
  ] as const) {
    hold.reserve(bytes);
    expect(budget.used).toBe(used);
  }
  expect(() => {
    hold.reserve(2001);
  }).toThrow(busy);
  expect(budget.used).toBe(500);
  hold.release();
  hold.release();
  hold.reserve(5);
  expect(budget.used).toBe(0);
});

it('is empty when all that was let in is over, in whatever order, and never overdrawn', () => {
  const step = fc.record({
    request: fc.nat({ max: 9 }),
    bytes: fc.oneof(fc.nat({ max: 9 * MIB }), fc.nat({ max: 2000 })),
    release: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const budget = new BodyMemoryLimit({ maxBodyBytes: 4 * MIB });
      const holds = Array.from({ length: 10 }, (_, n) => budget.open(`@u${n % 4}:hs1`));
      const own = holds.map(() => 0);
      for (const { request, bytes, release } of steps) {
        if (release) {
          holds[request]!.release();
          own[request] = 0;
          holds[request] = budget.open(`@u${request % 4}:hs1`);
          continue;
        }
        try {
          holds[request]!.reserve(bytes);
          own[request] = Math.max(own[request]!, bytes);
        } catch {
          // nothing changed
        }
        expect(budget.used).toBe(own.reduce((sum, one) => sum + one, 0));
        expect(budget.used).toBeLessThanOrEqual(16 * MIB);
      }
      for (const hold of holds) hold.release();
      expect(budget.used).toBe(0);
      expect(letIn(budget, 4 * MIB)).toBe(2);
    }),
  );
});
