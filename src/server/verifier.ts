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
  if (!service) return firstKnown([local, nobodyBeyondThisMachine]);
  const asked = metrics ? measured(service, metrics) : service;
  const onLookup = metrics && ((hit: boolean) => metrics.tokenLookedUp(hit));
  return firstKnown([local, remembered(asked, { ...tokenCache, onLookup })]);
}

/**
 * Where nobody is asked, an unknown token is a mistake of who tries the API, on this machine. A request
 * that a proxy passed on is a client's, of a server whose homeserver was not named to it: told 401, it
 * would log its user out, and throw away keys that are in no backup yet.
 */
const nobodyBeyondThisMachine: AccessTokenVerifier = (_token, { headers }) => {
  if (PASSED_ON.some((name) => headers[name] !== undefined)) {
    throw new Error('nobody is named who checks access tokens: write HOMESERVER_URL.');
  }
  return null;
};

const PASSED_ON = ['x-forwarded-for', 'forwarded', 'x-real-ip', 'via'];

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
