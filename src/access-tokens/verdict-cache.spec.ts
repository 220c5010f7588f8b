/** Proves that refused tokens cannot push accepted ones out, and how long a token counts as accepted. */
import { unknownToken } from '../room-keys/room-keys.errors.js';
import { type Verdict, VerdictCache } from './verdict-cache.js';

const ALICE: Verdict = { owner: { userId: '@alice:hs1' } };
const NOBODY: Verdict = { owner: null };
const REFUSED: Verdict = { refusal: unknownToken() };

const create = (ttlMs = 30_000) =>
  new VerdictCache({ ttlMs, refusalTtlMs: 1000, maxAccepted: 2, maxRefused: 3 });

describe('the cache of verdicts', () => {
  it('keeps refused tokens apart from accepted ones, each with a maximum', () => {
    const cache = create();
    cache.set('alice', ALICE, 0);
    for (let n = 0; n < 100; n++) cache.set(`made up ${n}`, n % 2 ? NOBODY : REFUSED, 0);
    expect(cache.get('alice', 0)).toBe(ALICE);
    const left = Array.from({ length: 100 }, (_, n) => cache.get(`made up ${n}`, 0));
    expect(left.filter((verdict) => verdict !== undefined)).toEqual([NOBODY, REFUSED, NOBODY]);
  });

  it('remembers that a token was accepted when its time is over', () => {
    const cache = create();
    cache.set('alice', ALICE, 0);
    expect(cache.wasAccepted('alice')).toBe(true);
    expect(cache.get('alice', 30_000)).toBeUndefined();
    expect(cache.wasAccepted('alice')).toBe(true);
    expect(cache.wasAccepted('bob')).toBe(false);
  });

  it('remembers it even if no verdict is kept', () => {
    const cache = create(0);
    cache.set('alice', ALICE, 0);
    expect(cache.get('alice', 0)).toBeUndefined();
    expect(cache.wasAccepted('alice')).toBe(true);
  });

  it('forgets it when other accepted tokens are used', () => {
    const cache = create();
    cache.set('alice', ALICE, 0);
    for (const key of ['bob', 'carol']) cache.set(key, ALICE, 0);
    expect(cache.wasAccepted('alice')).toBe(false);
  });

  it.each([NOBODY, REFUSED])('forgets it when the token is refused: %j', (verdict) => {
    const cache = create();
    cache.set('alice', ALICE, 0);
    cache.set('alice', verdict, 30_000);
    expect(cache.wasAccepted('alice')).toBe(false);
    expect(cache.get('alice', 30_000)).toBe(verdict);
    cache.set('alice', ALICE, 30_001);
    expect(cache.get('alice', 30_002)).toBe(ALICE);
  });
});
