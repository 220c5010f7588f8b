import { createHash, timingSafeEqual } from 'node:crypto';
import type { AccessTokenVerifier } from '../room-keys/room-keys-options.interface.js';

/**
 * A fixed token and its owner.
 *
 * @publicApi
 */
export interface DevelopmentToken {
  /** What the client sends. Required, no default. */
  token: string;
  /** The user it belongs to, such as `@alice:example.org`. Required, no default. */
  userId: string;
}

/**
 * A verifier for development: a few fixed tokens, without a homeserver. Anyone who knows a token has
 * access to the backup: serve it on a loopback address only.
 *
 * @publicApi
 */
export function developmentTokens(tokens: readonly DevelopmentToken[]): AccessTokenVerifier {
  const find = fixedTokens(tokens);
  return (token) => {
    const found = find(token);
    return found ? { userId: found.userId, deviceId: 'DEVELOPMENT' } : null;
  };
}

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
