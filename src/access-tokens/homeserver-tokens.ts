import { MatrixError } from '../room-keys/room-keys.errors.js';
import type { AccessTokenVerifier } from '../room-keys/room-keys-options.interface.js';
import { fetchJson, type ServiceAnswer, unusable } from './fetch-json.js';
import { masqueradeOf } from './masquerade.js';
import { checkWhole, MAX_TIMER_MS, serviceUrl } from './option-checks.js';

/**
 * Which homeserver is asked, and for how long.
 *
 * @publicApi
 */
export interface HomeserverTokensOptions {
  /**
   * Where the homeserver serves its client-server API, such as `http://synapse:8008`; what stands
   * before `/_matrix/client/`. Required, no default.
   */
  homeserverUrl: string;

  /** Milliseconds that it may take to answer; then the client is told 503. Default: 5,000. */
  timeoutMs?: number | undefined;
}

const SERVICE = 'the homeserver';

/**
 * A verifier that asks a homeserver, any that speaks Matrix: `GET /account/whoami` with the
 * client's own token, and with the `user_id` and `device_id` that an application service names.
 *
 * What the homeserver says about the token reaches the client as it is: that it is unknown, soft
 * logged out, its user locked or suspended, a guest's, or no application service of that user.
 * Anything else, such as no answer, an error of the server's own, a redirect or no JSON, is no
 * answer to the question, and the client is told 503. Put {@link cached} around it.
 *
 * @throws Error at once, for an option that cannot be used
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
    // what no header can carry is nobody's token: it came in the query
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

/** The error that the homeserver gave, if it is one about the token. */
function refusal({ status, body }: ServiceAnswer, masquerading: boolean): MatrixError | undefined {
  const { errcode, error } = body ?? {};
  if (typeof errcode !== 'string' || errcode === '') return undefined;
  const isAboutToken =
    status === 401 ||
    status === 403 ||
    // such as a device that the user does not have: nothing else in our question can be wrong,
    // unless the homeserver does not know whoami, or is none
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
