import type { AccessTokenVerifier } from '../room-keys/room-keys-options.interface.js';
import { fixedTokens } from './fixed-tokens.js';

/**
 * A fixed token and its owner.
 *
 * @publicApi
 */
export interface DevelopmentToken {
  /** What the client sends. Required, no default. */
  token: string;
  /** Whose it is, such as `@alice:example.org`. Required, no default. */
  userId: string;
}

/**
 * A verifier for development: a few fixed tokens, no homeserver asked. Whoever knows a token has
 * the backup: serve it on a loopback address only.
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
