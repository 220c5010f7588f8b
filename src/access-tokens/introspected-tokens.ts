import { MAX_TIMER_MS } from '../room-keys/option-rules.js';
import type { AccessTokenVerifier } from '../room-keys/room-keys-options.interface.js';
import { fetchJson, type ServiceAnswer, unusable } from './fetch-json.js';
import { checkText, checkWhole, serviceUrl } from './option-checks.js';
import type { ExpiringTokenOwner } from './verdict-cache.js';

/**
 * The authorization server that verifies tokens, our credentials there, and its timeout.
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
   * Our client id there, of a confidential client with `client_secret_basic`. Required, no default.
   */
  clientId: string;

  /** The client's secret. Required, no default. */
  clientSecret: string;

  /**
   * The homeserver's name, as after the colon in its user ids, such as `example.org`. Required, no
   * default.
   */
  serverName: string;

  /** Timeout in milliseconds; beyond it, the client gets 503. Default: 5,000. */
  timeoutMs?: number | undefined;
}

const SERVICE = 'the introspection endpoint';

/** Each scope has a stable name and an older one from its proposal (MSC2967). */
const SCOPE_PREFIXES = ['urn:matrix:client:', 'urn:matrix:org.matrix.msc2967.client:'];

/**
 * A verifier that uses token introspection of an OAuth 2.0 authorization server, such as the Matrix
 * Authentication Service, and interprets the response as Synapse does: the user is
 * `@username:serverName`; a token that is not active, or has no scope for Matrix's client API, is
 * unknown; the device is `device_id`, otherwise the one named in the scope.
 *
 * If the token cannot be verified, for example because our own credentials are wrong, the client gets
 * 503. Wrap it in {@link cached}. Tokens of application services are not known there: put
 * {@link applicationServiceTokens} before it, using {@link firstOf}.
 *
 * @throws Error immediately, for an invalid option
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
        // requests the device id in a field of its own: not every id can be written as a scope
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
 * The header in both encodings: RFC 6749 (2.3.1) percent-encodes id and secret, the Matrix
 * Authentication Service and Synapse do not. For most secrets they are the same.
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
 * Prefers `expires_in`, which does not depend on synchronized clocks. The result only limits how long the
 * verdict is cached; it never makes an active token unknown, which would make clients log their user out.
 */
function millisecondsLeft({ expires_in: left, exp }: Readonly<Record<string, unknown>>): number {
  if (typeof left === 'number') return Math.max(0, left * 1000);
  return typeof exp === 'number' ? Math.max(0, exp * 1000 - Date.now()) : Infinity;
}
