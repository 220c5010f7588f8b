import { createHash, timingSafeEqual } from 'node:crypto';
import type { AccessTokenVerifier } from '../room-keys/room-keys-options.interface.js';

/** A fixed token and its owner. */
export interface DevelopmentToken {
  token: string;
  userId: string;
}

const digest = (token: string) => createHash('sha256').update(token).digest();

/**
 * A verifier for development: a few fixed tokens, no homeserver asked. Whoever knows a token has
 * the backup: serve it on a loopback address only.
 *
 * @publicApi
 */
export function developmentTokens(tokens: readonly DevelopmentToken[]): AccessTokenVerifier {
  const known = tokens.map(({ token, userId }) => ({ digest: digest(token), userId }));
  return (token) => {
    const asked = digest(token);
    const found = known.find((one) => timingSafeEqual(one.digest, asked));
    return found ? { userId: found.userId, deviceId: 'DEVELOPMENT' } : null;
  };
}
