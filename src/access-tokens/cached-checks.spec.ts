/** Proves which checks have to wait when many tokens are checked at the same time, and what their requests get. */
import type { IncomingMessage } from 'node:http';
import { jest } from '@jest/globals';
import { clientRequest } from '../../test/homeserver/fake-service.js';
import type { MatrixError } from '../room-keys/room-keys.errors.js';
import type { AccessTokenVerifier, TokenOwner } from '../room-keys/room-keys-options.interface.js';
import { cached, type CachedOptions } from './cached.js';

let time: number;
/** Requests whose outcome is known, in this order. */
let outcomes: string[];
beforeEach(() => {
  time = 0;
  outcomes = [];
  jest.useFakeTimers({ doNotFake: ['setImmediate'] });
});
afterEach(() => {
  jest.useRealTimers();
});

/** A verifier that leaves each check open until the test ends it. */
function setUp(options: CachedOptions = {}) {
  const open = new Map<string, (owner: TokenOwner | null) => void>();
  const check = jest.fn<AccessTokenVerifier>((token) => {
    return new Promise((resolve) => open.set(token, resolve));
  });
  const verify = cached(check, { now: () => time, ...options });

  /** Sends a request; what becomes of it is in `outcomes`. */
  const request = (token: string, address = '203.0.113.1') => {
    const socket = { remoteAddress: address } as IncomingMessage['socket'];
    const message = Object.assign(clientRequest(), { headers: {}, socket });
    void Promise.resolve(verify(token, message)).then(
      (owner) => outcomes.push(`${token}: ${owner ? 200 : 401}`),
      (error: unknown) => outcomes.push(`${token}: ${(error as MatrixError).getStatus()}`),
    );
  };
  /** Ends a check, and lets the next one begin. */
  const end = async (token: string) => {
    open.get(token)?.(token.startsWith('good') ? { userId: '@good:hs1' } : null);
    open.delete(token);
    await settle();
  };
  const tokens = () => check.mock.calls.map(([token]) => token);
  return { request, end, tokens };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('while as many checks are under way as may be', () => {
  it('a cached token is answered, and one that was accepted before is checked first', async () => {
    const { request, end, tokens } = setUp({ checksAtOnce: 2 });
    request('good-before');
    await end('good-before');
    time = 30_000;
    request('good-cached');
    await end('good-cached');
    for (const token of ['bad1', 'bad2', 'bad3']) request(token);
    request('good-cached');
    request('good-before');
    for (const token of ['bad4', 'bad5']) request(token);
    await settle();
    expect(outcomes).toEqual(['good-before: 200', 'good-cached: 200', 'good-cached: 200']);
    await end('bad1');
    expect(tokens().slice(2)).toEqual(['bad1', 'good-before']);
  });

  it('requests with the same token share the check for which they wait, as its newest', async () => {
    const { request, end, tokens } = setUp({ checksAtOnce: 2 });
    for (const token of ['bad1', 'good', 'bad2', 'bad3', 'good']) request(token);
    await end('bad1');
    expect(tokens()).toEqual(['bad1', 'good']);
    await end('good');
    expect(outcomes).toEqual(['bad1: 401', 'good: 200', 'good: 200']);
  });

  it('a refused check is not cached', async () => {
    const { request, end } = setUp({ checksAtOnce: 2, maxWaitingPerAddress: 0 });
    request('bad');
    request('good');
    await end('bad');
    expect(outcomes).toEqual(['good: 429', 'bad: 401']);
    request('good');
    await end('good');
    expect(outcomes[2]).toBe('good: 200');
  });

  it('the time for which a verdict holds counts from the start of its check', async () => {
    const { request, end, tokens } = setUp({ checksAtOnce: 2 });
    request('bad');
    request('good');
    time = 4000;
    await end('bad');
    await end('good');
    time = 33_999;
    request('good');
    await settle();
    expect(tokens()).toEqual(['bad', 'good']);
    time = 34_000;
    request('good');
    expect(tokens()).toEqual(['bad', 'good', 'good']);
  });
});

describe('without options', () => {
  it('32 checks are under way, 16 of one address; 500 of one wait, 5,000 in all, for 5 seconds', async () => {
    const { request, tokens } = setUp();
    const send = (count: number, name: string, address: string) => {
      for (let n = 0; n < count; n++) request(`${name}${n}`, address);
      return settle();
    };
    await send(16 + 500, 'a', '203.0.113.1');
    expect(tokens()).toHaveLength(16);
    await send(16, 'b', '203.0.113.2');
    expect(tokens()).toHaveLength(32);
    for (let n = 3; n < 12; n++) await send(500, `address ${n} `, `203.0.113.${n}`);
    expect(outcomes).toEqual([]);
    await send(1, 'again a', '203.0.113.1');
    expect(outcomes).toEqual(['a16: 429']);
    await send(1, 'c', '203.0.113.12');
    expect(outcomes).toEqual(['a16: 429', 'a17: 503']);
    expect(tokens()).toHaveLength(32);
    jest.advanceTimersByTime(4999);
    await settle();
    expect(outcomes).toHaveLength(2);
    jest.advanceTimersByTime(1);
    await settle();
    expect(outcomes).toHaveLength(5002);
  });
});

describe('who listens', () => {
  it('reports how many checks run and wait, and those that are refused', async () => {
    const changes: [number, number][] = [];
    const onOverload = jest.fn();
    const { request, end } = setUp({
      checksAtOnce: 2,
      maxWaiting: 2,
      maxWaitingPerAddress: 1,
      onQueueChange: (underWay, waiting) => changes.push([underWay, waiting]),
      onOverload,
    });
    for (const token of ['a', 'b']) request(token, '203.0.113.1');
    request('c', '203.0.113.2');
    expect(changes).toEqual([
      [1, 0],
      [1, 1],
      [2, 1],
    ]);
    request('d', '203.0.113.1');
    expect(onOverload.mock.calls).toEqual([['address']]);
    for (const n of [3, 4]) request(`e${n}`, `203.0.113.${n}`);
    expect(onOverload.mock.calls).toEqual([['address'], ['process']]);
    for (const token of ['a', 'c', 'e3', 'e4']) await end(token);
    expect(changes.at(-1)).toEqual([0, 0]);
  });
});

describe('the options', () => {
  it.each([
    { maxRefusals: 0 },
    { maxRefusals: 2 ** 24 + 1 },
    { checksAtOnce: 0 },
    { checksAtOnce: Infinity },
    { maxWaiting: -1 },
    { maxWaitingPerAddress: 0.5 },
    { maxWaitMs: 0 },
    { maxWaitMs: 2 ** 31 },
  ])('cannot be %j', (options) => {
    expect(() => cached(() => null, options)).toThrow(
      new RegExp(`^'${Object.keys(options)[0]!}' must be a whole number from `),
    );
  });
});
