import { createHash, timingSafeEqual } from 'node:crypto';

const digest = (token: string) => createHash('sha256').update(token).digest();

/** Looks up the entry of a token; how long it takes does not reveal how much of the token is right. */
export function fixedTokens<T extends { readonly token: string }>(
  entries: readonly T[],
): (token: string) => T | undefined {
  const known = entries.map((entry) => ({ digest: digest(entry.token), entry }));
  return (token) => {
    const asked = digest(token);
    return known.find((one) => timingSafeEqual(one.digest, asked))?.entry;
  };
}
