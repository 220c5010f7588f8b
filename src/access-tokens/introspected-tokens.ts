import type { AccessTokenVerifier } from '../room-keys/room-keys-options.interface.js';
import { fetchJson, type ServiceAnswer, unusable } from './fetch-json.js';
import { checkText, checkWhole, MAX_TIMER_MS, serviceUrl } from './option-checks.js';
import type { ExpiringTokenOwner } from './verdict-cache.js';

/**
 * Which authorization server is asked, as whom, and for how long.
 *
 * @publicApi
 */
export interface IntrospectedTokensOptions {
  /**
   * Its introspection endpoint (RFC 7662), such as `https://auth.example.org/oauth2/introspect`.
   * Required, no default.
   */
  introspectionUrl: string;

  /**
   * The client that we are there: a confidential one, with `client_secret_basic`. Required, no
   * default.
   */
  clientId: string;

  /** The client's secret. Required, no default. */
  clientSecret: string;

  /**
   * What stands after the colon in the user ids of the homeserver, such as `example.org`. Required,
   * no default.
   */
  serverName: string;

  /** Milliseconds that it may take to answer; then the client is told 503. Default: 5,000. */
  timeoutMs?: number | undefined;
}

const SERVICE = 'the introspection endpoint';

/** Each scope under its stable name, and under that of the proposal it came from (MSC2967). */
const SCOPE_PREFIXES = ['urn:matrix:client:', 'urn:matrix:org.matrix.msc2967.client:'];

/**
 * A verifier that asks an OAuth 2.0 authorization server by token introspection, as the Matrix
 * Authentication Service offers it, and reads the answer as Synapse does: the user is
 * `@username:serverName`; a token that is not active, or has no scope for Matrix's client API, is
 * unknown; the device is `device_id`, else the one that the scope names.
 *
 * Whatever keeps the question from being answered, our own credentials too, is told 503. Put
 * {@link cached} around it. Tokens of application services are not known there: put
 * {@link applicationServiceTokens} before it, by {@link firstOf}.
 *
 * @throws Error at once, for an option that cannot be used
 * @publicApi
 */
export function introspectedTokens({
  introspectionUrl,
  clientId,
  clientSecret,
  serverName,
  timeoutMs = 5000,
}: IntrospectedTokensOptions): AccessTokenVerifier {
  const url = serviceUrl(
    'introspectionUrl',
    introspectionUrl,
    'https://auth.example.org/oauth2/introspect',
  );
  checkText('clientId', clientId, '0000000000000000000ROOMKEYS');
  checkText('clientSecret', clientSecret, 'a-long-secret');
  checkText('serverName', serverName, 'example.org');
  checkWhole('timeoutMs', timeoutMs, 1, MAX_TIMER_MS);

  const introspect = (token: string, authorization: string) =>
    fetchJson({
      service: SERVICE,
      method: 'POST',
      url,
      headers: {
        Authorization: authorization,
        // the device id in a member of its own: not every one can be written as a scope
        'X-MAS-Supports-Device-Id': '1',
      },
      form: new URLSearchParams({ token, token_type_hint: 'access_token' }),
      timeoutMs,
    });

  let [authorization, other] = basicCredentials(clientId, clientSecret);
  return async (token) => {
    let answer = await introspect(token, authorization);
    if (answer.status === 401 && other !== authorization) {
      answer = await introspect(token, other);
      if (answer.status !== 401) [authorization, other] = [other, authorization];
    }
    return ownerOf(answer, serverName);
  };
}

/**
 * The header in both spellings: RFC 6749 (2.3.1) has id and secret percent-encoded, the Matrix
 * Authentication Service and Synapse take them as they are. For most secrets they are the same.
 */
function basicCredentials(id: string, secret: string): [string, string] {
  const basic = (user: string, password: string) =>
    `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
  return [basic(encodeURIComponent(id), encodeURIComponent(secret)), basic(id, secret)];
}

function ownerOf(answer: ServiceAnswer, serverName: string): ExpiringTokenOwner | null {
  const { status, body } = answer;
  if (status !== 200 || typeof body?.active !== 'boolean') throw unusable(SERVICE, answer);
  if (!body.active) return null;
  const scopes = new Set(typeof body.scope === 'string' ? body.scope.split(' ') : []);
  const has = (name: string) => SCOPE_PREFIXES.some((prefix) => scopes.has(prefix + name));
  const isUser = has('api:*');
  if (!isUser && !has('api:guest')) return null;
  const { username } = body;
  if (typeof username !== 'string' || username === '')
    throw new Error(`${SERVICE} names no user of the token`);
  return {
    userId: `@${username}:${serverName}`,
    deviceId: typeof body.device_id === 'string' ? body.device_id : deviceIn(scopes),
    isGuest: !isUser,
    expiresInMs: millisecondsLeft(body),
  };
}

function deviceIn(scopes: ReadonlySet<string>): string | undefined {
  const devices = new Set<string>();
  for (const scope of scopes) {
    const prefix = SCOPE_PREFIXES.map((start) => `${start}device:`).find((start) =>
      scope.startsWith(start),
    );
    if (prefix !== undefined) devices.add(scope.slice(prefix.length));
  }
  if (devices.size > 1) throw new Error(`${SERVICE} names more than one device of the token`);
  return [...devices][0];
}

/**
 * From `expires_in` where it is given: it needs no clock that agrees with the other server's. It never makes
 * an active token unknown, on which clients log their user out: it says how long the answer may be kept.
 */
function millisecondsLeft({ expires_in: left, exp }: Readonly<Record<string, unknown>>): number {
  if (typeof left === 'number') return Math.max(0, left * 1000);
  return typeof exp === 'number' ? Math.max(0, exp * 1000 - Date.now()) : Infinity;
}
