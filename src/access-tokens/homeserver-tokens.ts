import { MAX_TIMER_MS } from '../room-keys/option-rules.js';
import { MatrixError } from '../room-keys/room-keys.errors.js';
import type { AccessTokenVerifier } from '../room-keys/room-keys-options.interface.js';
import { fetchJson, type ServiceAnswer, unusable } from './fetch-json.js';
import { masqueradeOf } from './application-service-tokens.js';
import { checkWhole, serviceUrl } from './option-checks.js';

/**
 * The homeserver that verifies tokens, and its timeout.
 *
 * @publicApi
 */
export interface HomeserverTokensOptions {
  /**
   * Base URL of the homeserver's client-server API, such as `http://synapse:8008`: the part before
   * `/_matrix/client/`. Required, no default.
   */
  homeserverUrl: string;

  /** Timeout in milliseconds; beyond it, the client gets 503. Default: 5,000. */
  timeoutMs?: number | undefined;
}

const SERVICE = 'the homeserver';

/**
 * A verifier that calls `GET /account/whoami` of any Matrix homeserver with the client's own token,
 * and with the `user_id` and `device_id` that an application service names.
 *
 * Errors of the homeserver about the token reach the client unchanged: unknown token, soft logout,
 * user locked or suspended, or a user that the application service may not act as. After any other
 * failure, such as a timeout, a server error, a redirect or a response that is not JSON, the client
 * gets 503. Wrap it in {@link cached}.
 *
 * @throws Error immediately, for an invalid option
 * @publicApi
 */
export function homeserverTokens({
  homeserverUrl,
  timeoutMs = 5000,
}: HomeserverTokensOptions): AccessTokenVerifier {
  const url = serviceUrl('homeserverUrl', homeserverUrl, 'https://matrix.example.org');
  const base = url.replace(/\/+$/, '');
  checkWhole('timeoutMs', timeoutMs, 1, MAX_TIMER_MS);
  return async (token, request) => {
    // not a token of any user if it cannot be sent in a header: it came in the query
    if (!/^[\x21-\x7e]+$/.test(token)) return null;
    const masquerade = masqueradeOf(request);
    const query = masquerade.size === 0 ? '' : `?${masquerade.toString()}`;
    const answer = await fetchJson({
      service: SERVICE,
      method: 'GET',
      url: `${base}/_matrix/client/v3/account/whoami${query}`,
      headers: { Authorization: `Bearer ${token}` },
      timeoutMs,
    });
    const { status, body } = answer;
    if (status === 200 && isUserId(body?.user_id)) {
      return {
        userId: body.user_id,
        deviceId: typeof body.device_id === 'string' ? body.device_id : undefined,
        isGuest: body.is_guest === true,
      };
    }
    throw refusal(answer, masquerade.size > 0) ?? unusable(SERVICE, answer);
  };
}

/** The homeserver's error, if it is about the token. */
function refusal({ status, body }: ServiceAnswer, masquerading: boolean): MatrixError | undefined {
  const { errcode, error } = body ?? {};
  if (typeof errcode !== 'string' || errcode === '') return undefined;
  const isAboutToken =
    status === 401 ||
    status === 403 ||
    // for example a device that the user does not have: nothing else in our request can be wrong,
    // unless the server does not know whoami, or is not a homeserver
    (status === 400 && masquerading && errcode !== 'M_UNRECOGNIZED');
  if (!isAboutToken) return undefined;
  return new MatrixError(status, {
    ...body,
    errcode,
    error: typeof error === 'string' ? error : 'The homeserver refuses the access token.',
  });
}

function isUserId(value: unknown): value is string {
  return typeof value === 'string' && /^@[^:]*:./.test(value);
}
