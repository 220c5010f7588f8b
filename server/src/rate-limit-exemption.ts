import type { AccessTokenVerifier } from 'nestjs-room-keys';

/**
 * A verifier that frees some users of limits of requests. Whoever checks tokens by whoami cannot know
 * which of them are a bridge's.
 *
 * @param patterns user ids, in which `*` stands for any characters
 */
export function exempting(
  patterns: readonly string[] | undefined,
  verify: AccessTokenVerifier,
): AccessTokenVerifier {
  if (!patterns || patterns.length === 0) return verify;
  const exempt = new RegExp(`^(?:${patterns.map(expressionOf).join('|')})$`, 's');
  return async (token, request) => {
    const owner = await verify(token, request);
    return owner && exempt.test(owner.userId) ? { ...owner, isRateLimited: false } : owner;
  };
}

/** The regular expression for a pattern; stars in a row are one, or it could take very long. */
function expressionOf(pattern: string): string {
  return pattern
    .split(/\*+/)
    .map((text) => text.replaceAll(/[.+?^${}()|[\]\\/-]/g, '\\$&'))
    .join('.*');
}
