import type { DataSource } from 'typeorm';
import type { RoomKeysOptions } from '../room-keys/room-keys-options.interface.js';
import type { StoredUserCounts } from '../room-keys/storage/statistics.repository.js';
import { RoomKeysMaintenance } from './room-keys.maintenance.js';
import {
  type Accounts,
  type AdminApi,
  serverOf,
  synapseAdminApi,
  synapseDatabase,
} from './synapse-accounts.js';

const MAX_SHARE = 0.1;

/**
 * Where to look accounts up: in Synapse's database, which is only read (`postgres://user@host/database`, or the path of
 * a SQLite file), or through its admin API.
 *
 * @publicApi
 */
export type RoomKeysAccountSource = { database: string } | AdminApi;

/**
 * Options of {@link RoomKeysClosedAccounts.erase}.
 *
 * @publicApi
 */
export interface RoomKeysClosedAccountsOptions {
  /** The homeserver's name; stored users of other servers are left alone. Default: all have to be the homeserver's. */
  serverName?: string | undefined;
  /** Whether to erase users whom the homeserver does not know. Default: false. */
  eraseUnknown?: boolean | undefined;
  /** The largest share of the users that may be erased, from 0 to 1. Default: 0.1. */
  maxShare?: number | undefined;
  /** Whether to report only. Default: false. */
  dryRun?: boolean | undefined;
  /** Aborts before the next page of users, or before the next user is erased. Default: none. */
  signal?: AbortSignal | undefined;
  /** Called after each page of users that were looked up. Default: none. */
  onProgress?: ((users: number) => void) | undefined;
  /** Called for each user whose account is not open. Default: none. */
  onUser?: ((user: RoomKeysClosedAccount) => void) | undefined;
}

/**
 * A user of whom something is stored here, and whose account is not open.
 *
 * @publicApi
 */
export interface RoomKeysClosedAccount extends StoredUserCounts {
  /** `closed`: the homeserver reports the user as deactivated. `unknown`: it has no such user. */
  account: 'closed' | 'unknown';
  /**
   * `erased`; `would-be-erased` without a dry run; `kept`: unknown, and `eraseUnknown` is not set; `changed`: kept,
   * since the account was another one when it was looked up again; `refused`: kept, see the result's `refusal`.
   */
  outcome: 'erased' | 'would-be-erased' | 'kept' | 'changed' | 'refused';
}

/**
 * What {@link RoomKeysClosedAccounts.erase} found and did.
 *
 * @publicApi
 */
export interface RoomKeysClosedAccountsResult {
  /** Users of whom something is stored here, by their account; those of other servers were not looked up. */
  users: { open: number; closed: number; unknown: number; ofOtherServers: number };
  erased: { users: number; backups: number; keys: number };
  /** Why no users were erased: one sentence. Undefined if erasing was not refused. */
  refusal: string | undefined;
}

interface Found {
  serverName: string;
  open: number;
  notOpen: Omit<RoomKeysClosedAccount, 'outcome'>[];
  ofOtherServers: number;
}

/**
 * Erases the backups of users whose accounts are closed, of which the homeserver deletes only its own. Deleted data that
 * can be restored is erased too.
 *
 * All users are looked up first; if a lookup fails, no user is erased. Each user is looked up again right before they
 * are erased; if that fails, no further user is erased.
 *
 * @publicApi
 */
export class RoomKeysClosedAccounts {
  private readonly maintenance: RoomKeysMaintenance;

  /**
   * @param dataSource initialized, of type 'mysql', 'mariadb', 'postgres' or 'better-sqlite3'
   * @param options those of the module: what is written to the history
   */
  constructor(dataSource: DataSource, options: Pick<RoomKeysOptions, 'historyDays'> = {}) {
    this.maintenance = new RoomKeysMaintenance(dataSource, options);
  }

  /** @throws RoomKeysSourceError if the homeserver, or its database, does not give a clear answer */
  async erase(
    source: RoomKeysAccountSource,
    options: RoomKeysClosedAccountsOptions = {},
  ): Promise<RoomKeysClosedAccountsResult> {
    const accounts =
      'database' in source ? await synapseDatabase(source.database) : synapseAdminApi(source);
    try {
      return await this.eraseFound(accounts, await this.lookUp(accounts, options), options);
    } finally {
      await accounts.close();
    }
  }

  private async lookUp(
    accounts: Accounts,
    { signal, onProgress }: RoomKeysClosedAccountsOptions,
  ): Promise<Found> {
    const serverName = await accounts.serverName();
    const found: Found = { serverName, open: 0, notOpen: [], ofOtherServers: 0 };
    for await (const page of this.maintenance.storedUsers()) {
      signal?.throwIfAborted();
      const users = page.filter(({ userId }) => serverOf(userId) === serverName);
      const states = await accounts.states(users.map(({ userId }) => userId));
      users.forEach((user, n) => {
        const account = states[n];
        if (account === 'closed' || account === 'unknown') found.notOpen.push({ ...user, account });
        else found.open += 1;
      });
      found.ofOtherServers += page.length - users.length;
      onProgress?.(found.open + found.notOpen.length + found.ofOtherServers);
    }
    return found;
  }

  private async eraseFound(
    accounts: Accounts,
    found: Found,
    options: RoomKeysClosedAccountsOptions,
  ): Promise<RoomKeysClosedAccountsResult> {
    const goes = ({ account }: Found['notOpen'][number]) =>
      account === 'closed' || options.eraseUnknown === true;
    const closed = found.notOpen.filter(({ account }) => account === 'closed').length;
    const result: RoomKeysClosedAccountsResult = {
      users: {
        open: found.open,
        closed,
        unknown: found.notOpen.length - closed,
        ofOtherServers: found.ofOtherServers,
      },
      erased: { users: 0, backups: 0, keys: 0 },
      refusal: refusalOf(found, found.notOpen.filter(goes).length, options),
    };
    for (const user of found.notOpen) {
      options.signal?.throwIfAborted();
      let outcome: RoomKeysClosedAccount['outcome'] = 'kept';
      if (goes(user)) {
        if (result.refusal !== undefined) outcome = 'refused';
        else if (options.dryRun) outcome = 'would-be-erased';
        else outcome = await this.eraseOne(accounts, user);
      }
      if (outcome === 'erased') {
        result.erased.users += 1;
        result.erased.backups += user.backups;
        result.erased.keys += user.keys;
      }
      options.onUser?.({ ...user, outcome });
    }
    return result;
  }

  /** A user who has come back since all were looked up keeps their backups. */
  private async eraseOne(
    accounts: Accounts,
    { userId, account }: Found['notOpen'][number],
  ): Promise<'erased' | 'changed'> {
    const [now] = await accounts.states([userId]);
    if (now !== account) return 'changed';
    await this.maintenance.eraseUser(userId, null);
    return 'erased';
  }
}

function refusalOf(
  { serverName, open, notOpen, ofOtherServers }: Found,
  going: number,
  { serverName: expected, maxShare = MAX_SHARE }: RoomKeysClosedAccountsOptions,
): string | undefined {
  if (expected !== undefined && expected !== serverName) {
    return `The homeserver is ${serverName}, not ${expected}. Check the homeserver and --server-name.`;
  }
  if (expected === undefined && ofOtherServers > 0) {
    return `There are backups of users whose server is not ${serverName}, the homeserver's name. Check the homeserver; if others belong here, set --server-name ${serverName}.`;
  }
  const users = open + notOpen.length;
  if (users > 0 && notOpen.every(({ account }) => account === 'unknown') && open === 0) {
    return 'The homeserver knows none of the users. Check that it is the right one.';
  }
  // so that NaN refuses
  if (!(going <= users * maxShare)) {
    return `${going} of ${users} users would be erased, more than the share of ${maxShare}. Check the homeserver; if this is right, set --max-share.`;
  }
  return undefined;
}
