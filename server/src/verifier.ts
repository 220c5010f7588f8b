import { type AccessTokenVerifier, MatrixError } from 'nestjs-room-keys';
import {
  developmentTokens,
  firstOf,
  homeserverTokens,
  introspectedTokens,
  cached,
} from 'nestjs-room-keys/access-tokens';
import type { Environment } from './environment.js';
import type { Metrics } from './metrics/metrics.js';
import type { TokenMetrics, TokenOutcome } from './metrics/token-metrics.js';

/** For the service that knows tokens, asked anew each time; undefined where there is none. */
export const TOKEN_SERVICE = Symbol('TOKEN_SERVICE');

/** The one service that the settings name; undefined where there are only tokens for development. */
export function tokenServiceOf({
  homeserver,
  introspection,
}: Environment): AccessTokenVerifier | undefined {
  if (homeserver) return homeserverTokens(homeserver);
  return introspection && introspectedTokens(introspection);
}

/** Development tokens, if there are any, then the service, with its verdicts cached and its checks limited. */
export function verifierOf(
  { developmentTokens: tokens, tokenCache, tokenChecks }: Environment,
  service: AccessTokenVerifier | undefined,
  metrics: Metrics | undefined,
): AccessTokenVerifier {
  const local = developmentTokens(tokens);
  if (!service) return firstOf([local, nobodyBeyondThisMachine]);
  const limits = { ...tokenCache, ...tokenChecks };
  if (!metrics) return firstOf([local, cached(service, limits)]);
  const { tokens: tokenMetrics } = metrics;
  const throughCache = cached(measured(service, tokenMetrics), {
    ...limits,
    onLookup: (hit) => tokenMetrics.lookedUp(hit),
    onQueueChange: (underWay, waiting) => tokenMetrics.queueChanged(underWay, waiting),
    onOverload: (limit) => tokenMetrics.checkRefused(limit),
  });
  return firstOf([local, throughCache]);
}

/**
 * Without token verification, an unknown token is a mistake of a developer on this machine. A request
 * through a proxy is from a real client, and the server lacks its HOMESERVER_URL: on a 401 the client
 * would log its user out, and discard keys that are not backed up yet.
 */
const nobodyBeyondThisMachine: AccessTokenVerifier = (_token, { headers }) => {
  if (PASSED_ON.some((name) => headers[name] !== undefined)) {
    throw new Error('no token verification is configured: set HOMESERVER_URL.');
  }
  return null;
};

const PASSED_ON = ['x-forwarded-for', 'forwarded', 'x-real-ip', 'via'];

function measured(verify: AccessTokenVerifier, metrics: TokenMetrics): AccessTokenVerifier {
  return async (token, request) => {
    const begun = performance.now();
    let outcome: TokenOutcome = 'failed';
    try {
      const owner = await verify(token, request);
      outcome = owner === null ? 'unknown' : owner.isGuest ? 'refused' : 'known';
      return owner;
    } catch (error) {
      outcome = outcomeOf(error);
      throw error;
    } finally {
      metrics.checked(outcome, performance.now() - begun);
    }
  };
}

function outcomeOf(error: unknown): TokenOutcome {
  if (!(error instanceof MatrixError)) return 'failed';
  if (error.body.errcode === 'M_UNKNOWN_TOKEN') return 'unknown';
  const status = error.getStatus();
  return status >= 500 || status === 429 ? 'failed' : 'refused';
}

/**
 * A verifier that frees some users of limits of requests. A check of tokens by whoami cannot know
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
