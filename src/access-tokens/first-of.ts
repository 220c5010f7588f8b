import type { AccessTokenVerifier } from '../room-keys/room-keys-options.interface.js';

/**
 * Combines several verifiers: each is called in turn until one knows the token. If one throws, that is
 * the result, so put those that need no network first, and a homeserver last.
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
