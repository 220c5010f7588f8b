import {
  type AccessTokenVerifier,
  developmentTokens,
  firstKnown,
  homeserverTokens,
  introspectedTokens,
  MatrixError,
  remembered,
} from '../index.js';
import type { Environment } from './environment.js';
import type { Metrics, TokenOutcome } from './metrics/metrics.js';

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

/** Development tokens, if there are any, then the service, whose answers are remembered. */
export function verifierOf(
  { developmentTokens: tokens, tokenCache }: Environment,
  service: AccessTokenVerifier | undefined,
  metrics: Metrics | undefined,
): AccessTokenVerifier {
  const local = developmentTokens(tokens);
  if (!service) return local;
  const asked = metrics ? measured(service, metrics) : service;
  const onLookup = metrics && ((hit: boolean) => metrics.tokenLookedUp(hit));
  return firstKnown([local, remembered(asked, { ...tokenCache, onLookup })]);
}

function measured(verify: AccessTokenVerifier, metrics: Metrics): AccessTokenVerifier {
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
      metrics.verifierAsked(outcome, performance.now() - begun);
    }
  };
}

function outcomeOf(error: unknown): TokenOutcome {
  if (!(error instanceof MatrixError)) return 'failed';
  if (error.body.errcode === 'M_UNKNOWN_TOKEN') return 'unknown';
  const status = error.getStatus();
  return status >= 500 || status === 429 ? 'failed' : 'refused';
}
