/** Proves how many checks are made at the same time, in which order the others follow, and which are refused. */
import { jest } from '@jest/globals';
import type { MatrixError } from '../room-keys/room-keys.errors.js';
import { type Check, CheckQueue, type CheckQueueLimits } from './check-queue.js';

const LIMITS: CheckQueueLimits = {
  atOnce: 4,
  maxWaiting: 100,
  maxWaitingPerAddress: 10,
  maxWaitMs: 5000,
};

beforeEach(() => {
  jest.useFakeTimers();
});
afterEach(() => {
  expect(jest.getTimerCount()).toBe(0);
  jest.useRealTimers();
});

function setUp(limits: Partial<CheckQueueLimits> = {}) {
  const started: string[] = [];
  const refused: Record<string, number> = {};
  const finish = new Map<string, () => void>();
  let state = { underWay: 0, waiting: 0 };
  const queue = new CheckQueue(
    { ...LIMITS, ...limits },
    { onChange: (underWay, waiting) => (state = { underWay, waiting }) },
  );

  /** Requests a check by its name, of the address that its first letter is. */
  const request = (name: string, options: Partial<Check> = {}) => {
    const check: Check = { address: name[0], isPreferred: false, ...options };
    const work = () => {
      started.push(name);
      return new Promise<void>((resolve) => finish.set(name, resolve));
    };
    queue.run(check, work).catch((error: unknown) => {
      refused[name] = (error as MatrixError).getStatus();
    });
    return check;
  };
  /** Ends checks, in this order. */
  const end = async (...names: string[]) => {
    for (const name of names) {
      finish.get(name)!();
      finish.delete(name);
      await jest.advanceTimersByTimeAsync(0);
    }
  };
  /** Ends all checks, the one that began first also first, until none is left. */
  const endAll = async () => {
    for (const name of started) if (finish.has(name)) await end(name);
  };
  return { queue, started, refused, request, end, endAll, state: () => state };
}

describe('checks under way', () => {
  it('begin in the same tick as long as there are not too many, half of them of one address', async () => {
    const { started, request, endAll, state } = setUp();
    for (const name of ['a1', 'a2', 'a3', 'b1', 'c1', 'd1']) request(name);
    expect(started).toEqual(['a1', 'a2', 'b1', 'c1']);
    expect(state()).toEqual({ underWay: 4, waiting: 2 });
    await endAll();
    expect(started).toHaveLength(6);
    expect(state()).toEqual({ underWay: 0, waiting: 0 });
  });

  it('are not divided among clients whose address is not known', async () => {
    const { started, request, endAll } = setUp();
    for (const name of ['1', '2', '3', '4', '5']) request(name, { address: undefined });
    expect(started).toEqual(['1', '2', '3', '4']);
    await endAll();
    expect(started).toHaveLength(5);
  });

  it('can be one alone', async () => {
    const { started, request, endAll, state } = setUp({ atOnce: 1 });
    for (const name of ['a1', 'a2', 'b1']) request(name);
    expect(state()).toEqual({ underWay: 1, waiting: 2 });
    await endAll();
    expect(started).toHaveLength(3);
  });

  it('end when they fail, too', async () => {
    const { queue, started, request, endAll } = setUp({ atOnce: 1 });
    const failed = queue.run({ address: 'a', isPreferred: false }, () =>
      Promise.reject(new Error('down')),
    );
    request('a1');
    await expect(failed).rejects.toThrow('down');
    await endAll();
    expect(started).toEqual(['a1']);
  });
});

describe('checks that wait', () => {
  it('are started in turn by address, of each address the newest first', async () => {
    const { started, request, endAll } = setUp({ atOnce: 1 });
    request('x');
    for (const name of ['a1', 'a2', 'a3', 'b1', 'b2', 'c1']) request(name);
    await endAll();
    expect(started).toEqual(['x', 'a3', 'b2', 'c1', 'a2', 'b1', 'a1']);
  });

  it('do not hold up another address while their own has its share', async () => {
    const { started, request, end, endAll } = setUp();
    for (const name of ['a1', 'a2', 'a3', 'b1', 'c1', 'd1']) request(name);
    await end('b1');
    expect(started.slice(4)).toEqual(['d1']);
    await end('a1');
    expect(started.slice(5)).toEqual(['a3']);
    await endAll();
  });

  it('come first when they are preferred, three times of four', async () => {
    const { started, request, endAll } = setUp({ atOnce: 1 });
    request('x');
    for (const name of ['a1', 'a2']) request(name);
    for (const name of ['a3', 'b3', 'b4', 'c3']) request(name, { isPreferred: true });
    await endAll();
    expect(started).toEqual(['x', 'a3', 'b4', 'c3', 'a2', 'b3', 'a1']);
  });

  it('count as new when another request needs them', async () => {
    const { queue, started, request, endAll, state } = setUp({ atOnce: 1 });
    const running = request('x');
    const check = request('a1');
    for (const name of ['a2', 'a3']) request(name);
    queue.renew(check, 'a');
    queue.renew(running, 'a');
    expect(state()).toEqual({ underWay: 1, waiting: 3 });
    await endAll();
    expect(started).toEqual(['x', 'a1', 'a3', 'a2']);
    queue.renew(check, 'a');
    expect(state()).toEqual({ underWay: 0, waiting: 0 });
  });

  it('belong to the address that needed them last', async () => {
    const { queue, started, request, end, endAll, state } = setUp();
    for (const name of ['a1', 'a2', 'a3']) request(name);
    const check = request('a4');
    request('b1');
    queue.renew(check, 'b');
    await jest.advanceTimersByTimeAsync(0);
    expect(started).toEqual(['a1', 'a2', 'b1', 'a4']);
    request('c1');
    queue.renew(request('a5'), 'b');
    await end('a4');
    expect(started.slice(4)).toEqual(['c1']);
    await end('b1');
    expect(started.slice(5)).toEqual(['a5']);
    await endAll();
    expect(started.slice(6)).toEqual(['a3']);
    expect(state()).toEqual({ underWay: 0, waiting: 0 });
  });
});

describe('a check is refused', () => {
  it('with 429 when its address has too many that wait, the oldest first', async () => {
    const { started, refused, request, endAll, state } = setUp({ maxWaitingPerAddress: 2 });
    for (const name of ['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'b1']) request(name);
    await endAll();
    expect(refused).toEqual({ a3: 429, a4: 429 });
    expect(started).toEqual(['a1', 'a2', 'b1', 'a6', 'a5']);
    expect(state()).toEqual({ underWay: 0, waiting: 0 });
  });

  it('with 503 when too many wait in all, the oldest first', async () => {
    const { refused, request, endAll } = setUp({ atOnce: 1, maxWaiting: 2 });
    for (const name of ['x', 'a1', 'b1', 'c1', 'd1']) request(name);
    await endAll();
    expect(refused).toEqual({ a1: 503, b1: 503 });
  });

  it('before any that is preferred', async () => {
    const limits = { atOnce: 1, maxWaiting: 3, maxWaitingPerAddress: 2 };
    const { refused, request, endAll } = setUp(limits);
    request('x');
    request('a1', { isPreferred: true });
    for (const name of ['a2', 'a3', 'b1', 'c1']) request(name);
    await endAll();
    expect(refused).toEqual({ a2: 429, a3: 503 });
  });

  it.each([
    ['429, where its address has its share', 'a', 429],
    ['503, where others have all', 'b', 503],
  ])('after its time, with %s', async (_, address, status) => {
    const { refused, request, endAll } = setUp({ atOnce: 2 });
    request('a1');
    request('c1');
    request('late', { address });
    await jest.advanceTimersByTimeAsync(4999);
    expect(refused).toEqual({});
    await jest.advanceTimersByTimeAsync(1);
    expect(refused).toEqual({ late: status });
    await endAll();
  });

  it('if none may wait', async () => {
    const { refused, request, endAll } = setUp({ maxWaiting: 0 });
    for (const name of ['a1', 'a2', 'a3']) request(name);
    await endAll();
    expect(refused).toEqual({ a3: 503 });
  });

  it('with the time after which to try again, and is reported', async () => {
    const onRefused = jest.fn();
    const queue = new CheckQueue({ ...LIMITS, maxWaitingPerAddress: 0 }, { onRefused });
    const run = () => queue.run({ address: 'a', isPreferred: false }, () => Promise.resolve());
    const [, , refused] = await Promise.allSettled([run(), run(), run()]);
    expect(refused).toMatchObject({
      reason: {
        body: { errcode: 'M_LIMIT_EXCEEDED', retry_after_ms: 1000 },
        headers: { 'Retry-After': '1' },
      },
    });
    expect(onRefused.mock.calls).toEqual([['address']]);
  });
});
