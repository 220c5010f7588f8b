/**
 * Proves how often a verifier is asked when its answers are cached: how long each kind is, how
 * many are, that a burst asks once, and that neither a failure nor a token is kept.
 */
import { jest } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { clientRequest } from '../../test/homeserver/fake-service.js';
import { MatrixError, unknownToken, verifierFailed } from '../room-keys/room-keys.errors.js';
import type { AccessTokenVerifier, TokenOwner } from '../room-keys/room-keys-options.interface.js';
import { cached, type CachedOptions } from './cached.js';
import type { ExpiringTokenOwner } from './verdict-cache.js';

const ownerOf = (token: string): TokenOwner => ({ userId: `@${token}:hs1` });

let time: number;
beforeEach(() => {
  time = 1_000_000;
});
const now = () => time;

/** A verifier that counts, and one that remembers what it says. */
function setUp(answer: AccessTokenVerifier = ownerOf, options: CachedOptions = {}) {
  const asked = jest.fn(answer);
  const verify = cached(asked, { now, ...options });
  const outcome = async (token = 'alice', query = '') => {
    try {
      return await verify(token, clientRequest(query));
    } catch (error) {
      return error as Error;
    }
  };
  return { asked, outcome };
}

/** Questions that stay open until the test answers them. */
function openQuestions() {
  const open: { resolve: (owner: TokenOwner) => void; reject: (error: Error) => void }[] = [];
  const answer: AccessTokenVerifier = () =>
    new Promise<TokenOwner>((resolve, reject) => {
      open.push({ resolve, reject });
    });
  return { open, answer };
}

describe('an owner', () => {
  it('is cached for 30 seconds', async () => {
    const { asked, outcome } = setUp();
    expect(await outcome()).toEqual({ userId: '@alice:hs1' });
    time += 29_999;
    expect(await outcome()).toEqual({ userId: '@alice:hs1' });
    expect(asked).toHaveBeenCalledTimes(1);
    time += 1;
    expect(await outcome()).toEqual({ userId: '@alice:hs1' });
    expect(asked).toHaveBeenCalledTimes(2);
  });

  it('is cached no longer for being asked for', async () => {
    const { asked, outcome } = setUp();
    for (let n = 0; n < 10_000; n++) {
      await outcome();
      // 100 seconds in all
      time += 10;
    }
    expect(asked).toHaveBeenCalledTimes(4);
  });

  it('is cached from the moment of asking: meanwhile the token may have ended', async () => {
    const { open, answer } = openQuestions();
    const { asked, outcome } = setUp(answer);
    const first = outcome();
    time += 4000;
    open[0]!.resolve(ownerOf('alice'));
    await first;
    time += 25_999;
    await outcome();
    expect(asked).toHaveBeenCalledTimes(1);
    time += 1;
    void outcome();
    expect(asked).toHaveBeenCalledTimes(2);
  });

  it('is cached no longer than the token lasts', async () => {
    const owner: ExpiringTokenOwner = { userId: '@alice:hs1', expiresInMs: 5000 };
    const { asked, outcome } = setUp(() => owner);
    await outcome();
    time += 4999;
    await outcome();
    expect(asked).toHaveBeenCalledTimes(1);
    time += 1;
    await outcome();
    expect(asked).toHaveBeenCalledTimes(2);
  });

  it('is not cached where ttlMs is 0', async () => {
    const { asked, outcome } = setUp(ownerOf, { ttlMs: 0 });
    await outcome();
    await outcome();
    expect(asked).toHaveBeenCalledTimes(2);
  });

  it('is that of the token, of the user and of the device that are named', async () => {
    const { asked, outcome } = setUp((token, { url }) => ({ userId: `@${token}${url}:hs1` }));
    const queries = ['', '?user_id=@a:hs1', '?user_id=@b:hs1', '?user_id=@a:hs1&device_id=A'];
    const other = '?user_id=@a:hs1&org.matrix.msc3202.device_id=A';
    for (const query of [...queries, other, '?user_id=']) await outcome('alice', query);
    await outcome('bob');
    expect(asked).toHaveBeenCalledTimes(7);
    expect(await outcome('alice', '?user_id=@b:hs1')).toMatchObject({
      userId: expect.stringContaining('@b:hs1'),
    });
    await outcome('alice', '?version=1&user_id=@a:hs1');
    await outcome('alice', '?version=2');
    expect(asked).toHaveBeenCalledTimes(7);
  });

  it('is kept apart from that of a token that reads like a query', async () => {
    const { asked, outcome } = setUp();
    await outcome('alice', '?user_id=@a:hs1');
    await outcome('alice?user_id=@a:hs1');
    await outcome('alice","user_id=@a:hs1');
    expect(asked).toHaveBeenCalledTimes(3);
  });
});

describe('a refusal', () => {
  const locked = new MatrixError(401, { errcode: 'M_USER_LOCKED', error: '', soft_logout: true });
  const refusals: [string, AccessTokenVerifier, unknown][] = [
    ['that the token is nobody’s', () => null, null],
    [
      'that it is unknown',
      () => {
        throw unknownToken(true);
      },
      unknownToken(true),
    ],
    ['in Matrix’s form', () => Promise.reject(locked), locked],
    [
      'of an application service',
      () => Promise.reject(new MatrixError(403, { errcode: 'M_FORBIDDEN', error: '' })),
      new MatrixError(403, { errcode: 'M_FORBIDDEN', error: '' }),
    ],
  ];

  it.each(refusals)('%s is cached for a second', async (_, answer, expected) => {
    const { asked, outcome } = setUp(answer);
    expect(await outcome()).toEqual(expected);
    time += 999;
    expect(await outcome()).toEqual(expected);
    expect(asked).toHaveBeenCalledTimes(1);
    time += 1;
    expect(await outcome()).toEqual(expected);
    expect(asked).toHaveBeenCalledTimes(2);
  });

  it.each([
    [{ refusalTtlMs: 0 }, 2],
    [{ ttlMs: 0 }, 2],
    [{ ttlMs: 500 }, 2],
    [{ refusalTtlMs: 5000 }, 1],
  ])('is cached as %j says', async (options, calls) => {
    const { asked, outcome } = setUp(() => null, options);
    await outcome();
    time += 600;
    await outcome();
    expect(asked).toHaveBeenCalledTimes(calls);
  });

  it('ends when the token comes to be known', async () => {
    let isLocked = true;
    const { outcome } = setUp((token) => (isLocked ? Promise.reject(locked) : ownerOf(token)));
    expect(await outcome()).toBe(locked);
    isLocked = false;
    time += 1000;
    expect(await outcome()).toEqual({ userId: '@alice:hs1' });
  });
});

describe('a failure', () => {
  it.each([
    ['an error', new Error('the homeserver did not answer (ECONNREFUSED)')],
    ['a 503 in Matrix’s form', verifierFailed()],
    ['a 429', new MatrixError(429, { errcode: 'M_LIMIT_EXCEEDED', error: '' })],
    ['what is no error at all', 'down'],
  ])('is never cached: %s', async (_, failure) => {
    let isDown = true;
    const { asked, outcome } = setUp((token) => {
      if (isDown) throw failure as Error;
      return ownerOf(token);
    });
    expect(await outcome()).toBe(failure);
    expect(await outcome()).toBe(failure);
    expect(asked).toHaveBeenCalledTimes(2);
    isDown = false;
    expect(await outcome()).toEqual({ userId: '@alice:hs1' });
  });

  it('leaves what is cached in force, for its time', async () => {
    let isDown = false;
    const { outcome } = setUp((token) =>
      isDown ? Promise.reject(new Error('down')) : ownerOf(token),
    );
    await outcome('alice');
    isDown = true;
    time += 29_999;
    expect(await outcome('alice')).toEqual({ userId: '@alice:hs1' });
    expect(await outcome('bob')).toEqual(new Error('down'));
    time += 1;
    expect(await outcome('alice')).toEqual(new Error('down'));
  });
});

describe('a burst', () => {
  it.each([30_000, 0])('of 1,000 requests with one token asks once (ttlMs %d)', async (ttlMs) => {
    const { open, answer } = openQuestions();
    const { asked, outcome } = setUp(answer, { ttlMs });
    const burst = Promise.all(Array.from({ length: 1000 }, () => outcome()));
    expect(asked).toHaveBeenCalledTimes(1);
    open[0]!.resolve(ownerOf('alice'));
    const outcomes = await burst;
    expect(outcomes).toHaveLength(1000);
    expect(new Set(outcomes)).toEqual(new Set([{ userId: '@alice:hs1' }]));
    expect(asked).toHaveBeenCalledTimes(1);
  });

  it('with two tokens asks twice', async () => {
    const { open, answer } = openQuestions();
    const { asked, outcome } = setUp(answer);
    const burst = Promise.all(
      Array.from({ length: 1000 }, (_, n) => outcome(n % 2 ? 'alice' : 'bob')),
    );
    expect(asked).toHaveBeenCalledTimes(2);
    open[0]!.resolve(ownerOf('bob'));
    open[1]!.resolve(ownerOf('alice'));
    const outcomes = await burst;
    expect(outcomes[0]).toEqual({ userId: '@bob:hs1' });
    expect(outcomes[1]).toEqual({ userId: '@alice:hs1' });
  });

  it('shares a failure, and the next request asks anew', async () => {
    const { open, answer } = openQuestions();
    const { asked, outcome } = setUp(answer);
    const burst = Promise.all(Array.from({ length: 10 }, () => outcome()));
    open[0]!.reject(new Error('down'));
    expect(new Set((await burst).map(String))).toEqual(new Set(['Error: down']));
    const next = outcome();
    expect(asked).toHaveBeenCalledTimes(2);
    open[1]!.resolve(ownerOf('alice'));
    expect(await next).toEqual({ userId: '@alice:hs1' });
  });

  it('is answered although the first client went away', async () => {
    const { open, answer } = openQuestions();
    const verify = cached(answer);
    const gone = clientRequest();
    const first = Promise.resolve(verify('alice', gone));
    const second = Promise.resolve(verify('alice', clientRequest()));
    gone.destroyed = true;
    open[0]!.resolve(ownerOf('alice'));
    expect(await first).toEqual(ownerOf('alice'));
    expect(await second).toEqual(ownerOf('alice'));
    expect(open).toHaveLength(1);
  });
});

describe('the number that is cached', () => {
  it('is bounded, and the one used least recently goes', async () => {
    const { asked, outcome } = setUp(ownerOf, { max: 3 });
    for (const token of ['a', 'b', 'c', 'a', 'd']) await outcome(token);
    expect(asked).toHaveBeenCalledTimes(4);
    for (const token of ['a', 'c', 'd']) await outcome(token);
    expect(asked).toHaveBeenCalledTimes(4);
    await outcome('b');
    expect(asked).toHaveBeenCalledTimes(5);
    await outcome('a');
    expect(asked).toHaveBeenCalledTimes(6);
  });

  it('is 10,000', async () => {
    const { asked, outcome } = setUp();
    for (let n = 0; n <= 10_000; n++) await outcome(`t${n}`);
    await outcome('t1');
    expect(asked).toHaveBeenCalledTimes(10_001);
    await outcome('t0');
    expect(asked).toHaveBeenCalledTimes(10_002);
  });

  it('is not used up by what is not cached', async () => {
    const { asked, outcome } = setUp(
      (token) => (token === 'alice' ? ownerOf(token) : Promise.reject(new Error('down'))),
      { max: 2 },
    );
    await outcome();
    for (let n = 0; n < 10; n++) await outcome(`t${n}`);
    await outcome();
    expect(asked).toHaveBeenCalledTimes(11);
  });
});

describe('who listens', () => {
  it('reports which lookups were answered from the cache', async () => {
    const lookups: boolean[] = [];
    const { open, answer } = openQuestions();
    const { outcome } = setUp(answer, { onLookup: (hit) => lookups.push(hit) });
    const together = Promise.all([outcome(), outcome(), outcome('bob')]);
    open[0]!.resolve(ownerOf('alice'));
    open[1]!.reject(new Error('down'));
    await together;
    await outcome();
    void outcome('bob');
    expect(lookups).toEqual([false, true, false, true, false]);
  });

  it('is not felt when it throws', async () => {
    Logger.overrideLogger(false);
    const { outcome } = setUp(ownerOf, {
      onLookup: () => {
        throw new Error('of the host');
      },
    });
    expect(await outcome()).toEqual({ userId: '@alice:hs1' });
    expect(await outcome()).toEqual({ userId: '@alice:hs1' });
    Logger.overrideLogger(true);
  });
});

describe('the options', () => {
  it.each([
    { ttlMs: -1 },
    { ttlMs: NaN },
    { ttlMs: Infinity },
    { refusalTtlMs: 0.5 },
    { max: 0 },
    { max: Infinity },
    { max: 2 ** 24 + 1 },
  ])('cannot be %j', (options) => {
    expect(() => cached(ownerOf, options)).toThrow(
      new RegExp(`^'${Object.keys(options)[0]!}' must be a whole number from `),
    );
  });

  it('need not be given', async () => {
    const asked = jest.fn(ownerOf);
    const verify = cached(asked);
    await verify('alice', clientRequest());
    await verify('alice', clientRequest());
    expect(asked).toHaveBeenCalledTimes(1);
  });
});
