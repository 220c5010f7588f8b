import { fetchJson, type ServiceAnswer } from '../../access-tokens/fetch-json.js';
import { SourceError } from '../transfer/source-error.js';
import { type Accounts, type AccountState, serverOf } from './accounts.js';

/** Synapse is one process, and serves its users meanwhile. */
const REQUESTS_AT_ONCE = 4;

/** Where Synapse's admin API is. */
export interface AdminApi {
  /** Of Synapse itself, for example `http://127.0.0.1:8008`. */
  homeserverUrl: string;
  /** An access token of a server admin. */
  adminToken: string;
  /** How long an answer may take, in milliseconds. Default: 30000 */
  timeoutMs?: number;
}

/** The accounts as Synapse's admin API reports them, one request for each user. */
export function synapseAdminApi({
  homeserverUrl,
  adminToken,
  timeoutMs = 30_000,
}: AdminApi): Accounts {
  const get = async (path: string): Promise<ServiceAnswer> => {
    try {
      return await fetchJson({
        service: 'The homeserver',
        url: `${homeserverUrl.replace(/\/+$/, '')}${path}`,
        method: 'GET',
        headers: { Authorization: `Bearer ${adminToken}` },
        timeoutMs,
      });
    } catch (error) {
      throw new SourceError(`${(error as Error).message}.`, { cause: error });
    }
  };
  return {
    serverName: async () => {
      const answer = await get('/_matrix/client/v3/account/whoami');
      const userId = answer.status === 200 ? answer.body?.user_id : undefined;
      if (typeof userId !== 'string' || !/^@[^:]*:./.test(userId)) throw unusable(answer);
      return serverOf(userId);
    },
    states: async (userIds) => {
      const states: AccountState[] = [];
      for (let n = 0; n < userIds.length; n += REQUESTS_AT_ONCE) {
        const some = userIds.slice(n, n + REQUESTS_AT_ONCE).map(async (userId) => {
          return stateOf(
            userId,
            await get(`/_synapse/admin/v2/users/${encodeURIComponent(userId)}`),
          );
        });
        states.push(...(await Promise.all(some)));
      }
      return states;
    },
    close: () => Promise.resolve(),
  };
}

function stateOf(userId: string, answer: ServiceAnswer): AccountState {
  const { status, body } = answer;
  // a proxy that does not forward the admin API answers 404 too, with another code
  if (status === 404 && body?.errcode === 'M_NOT_FOUND') return 'unknown';
  if (status === 200 && body?.name === userId) {
    if (body.deactivated === true) return 'closed';
    if (body.deactivated === false) return 'open';
  }
  throw unusable(answer);
}

function unusable({ status, body }: ServiceAnswer): SourceError {
  const advice =
    status === 401 || status === 403
      ? 'Set --admin-token-file to a file with the access token of a server admin.'
      : 'Set --homeserver to Synapse itself, not to a proxy that hides its admin API.';
  const what = body ? '' : ', and no JSON object';
  return new SourceError(
    `The homeserver answered ${status}${what}, which says nothing of the user. ${advice}`,
  );
}
