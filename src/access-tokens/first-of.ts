import type { AccessTokenVerifier } from '../room-keys/room-keys-options.interface.js';

/**
 * Several verifiers as one: they are asked in turn until one knows the token. What one of them
 * throws is the answer, so those that need no network come first, and a homeserver last.
 *
 * @publicApi
 */
export function firstOf(verifiers: readonly AccessTokenVerifier[]): AccessTokenVerifier {
  return async (token, request) => {
    for (const verify of verifiers) {
      const owner = await verify(token, request);
      if (owner !== null) return owner;
    }
    return null;
  };
}
