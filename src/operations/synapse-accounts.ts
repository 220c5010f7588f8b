/** The accounts of a homeserver's users, in Synapse's database or by its admin API. */
import { fetchJson, type ServiceAnswer } from '../access-tokens/fetch-json.js';
import { SourceError } from './transfer/backup-source.js';
import { openSourceDatabase } from './transfer/source-database.js';

/** `closed`: the homeserver reports the user as deactivated. `unknown`: it has no such user. */
export type AccountState = 'open' | 'closed' | 'unknown';

/** Looks up accounts at a homeserver. Throws for any unclear answer, rather than guess a state. */
export interface Accounts {
  /** The part of its user ids after the colon. */
  serverName(): Promise<string>;
  /** The states of users, in the order of their ids. */
  states(userIds: readonly string[]): Promise<AccountState[]>;
  close(): Promise<void>;
}

/** The part of a user id after the first colon. */
export const serverOf = (userId: string): string => userId.slice(userId.indexOf(':') + 1);

/**
 * The accounts in Synapse's database, which is only read.
 *
 * @param from `postgres://user@host/database`, or the path of a SQLite file
 * @throws SourceError where it cannot be read
 */
export async function synapseDatabase(from: string): Promise<Accounts> {
  const database = await openSourceDatabase(from);
  return {
    serverName: async () => {
      const [user] = await database.query("SELECT name FROM users WHERE name LIKE '@%:%' LIMIT 1");
      if (typeof user?.name !== 'string') {
        throw new SourceError(
          "Synapse's database has no users. Check that --from is the right one.",
        );
      }
      return serverOf(user.name);
    },
    states: async (userIds) => {
      if (userIds.length === 0) return [];
      const found = await database.query(
        `SELECT name, deactivated FROM users WHERE name IN (${userIds.map(() => '?').join(', ')})`,
        [...userIds],
      );
      const states = new Map(found.map((row) => [row.name, stateInDatabase(row.deactivated)]));
      return userIds.map((userId) => states.get(userId) ?? 'unknown');
    },
    close: () => database.close(),
  };
}

function stateInDatabase(deactivated: unknown): AccountState {
  if (deactivated === 0) return 'open';
  if (deactivated === 1) return 'closed';
  throw new SourceError(
    'The column deactivated of the table users holds neither 0 nor 1. This version of Synapse is not supported.',
  );
}

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
  const what = body ? '' : ' without a JSON object';
  return new SourceError(
    `The homeserver answered ${status}${what}, so the state of the account is unknown. ${advice}`,
  );
}
