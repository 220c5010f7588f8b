/**
 * Proves the replacement rule over every combination of its three criteria, against a table that
 * is spelled out here independently of the code.
 */
import { isBetter } from './replacement.js';
import type { KeyRank } from './room-key.js';

/** All keys with small field values, best first: this listing is the specification's order. */
const bestFirst: KeyRank[] = [
  [true, 0, 0],
  [true, 0, 1],
  [true, 0, 2],
  [true, 1, 0],
  [true, 1, 1],
  [true, 1, 2],
  [true, 2, 0],
  [true, 2, 1],
  [true, 2, 2],
  [false, 0, 0],
  [false, 0, 1],
  [false, 0, 2],
  [false, 1, 0],
  [false, 1, 1],
  [false, 1, 2],
  [false, 2, 0],
  [false, 2, 1],
  [false, 2, 2],
].map(([isVerified, firstMessageIndex, forwardedCount]) => ({
  isVerified: isVerified as boolean,
  firstMessageIndex: firstMessageIndex as number,
  forwardedCount: forwardedCount as number,
}));

const name = (key: KeyRank) =>
  `${key.isVerified ? 'verified' : 'unverified'}, index ${key.firstMessageIndex}, forwarded ${key.forwardedCount}`;

const pairs = bestFirst.flatMap((candidate, c) =>
  bestFirst.map((stored, s) => ({
    candidate,
    stored,
    replaces: c < s,
    title: `${name(candidate)} ${c < s ? 'replaces' : 'does not replace'} ${name(stored)}`,
  })),
);

describe('the replacement rule', () => {
  it.each(pairs)('$title', ({ candidate, stored, replaces }) => {
    expect(isBetter(candidate, stored)).toBe(replaces);
  });

  it('never lets an unverified key with a lower index replace a verified one', () => {
    const stored = { isVerified: true, firstMessageIndex: 1000, forwardedCount: 1000 };
    const candidate = { isVerified: false, firstMessageIndex: 0, forwardedCount: 0 };
    expect(isBetter(candidate, stored)).toBe(false);
    expect(isBetter(stored, candidate)).toBe(true);
  });

  it('tells neighbours apart at the upper limit of the numbers', () => {
    const high = {
      isVerified: false,
      firstMessageIndex: Number.MAX_SAFE_INTEGER,
      forwardedCount: 0,
    };
    const lower = { ...high, firstMessageIndex: Number.MAX_SAFE_INTEGER - 1 };
    expect(isBetter(lower, high)).toBe(true);
    expect(isBetter(high, lower)).toBe(false);
  });
});
