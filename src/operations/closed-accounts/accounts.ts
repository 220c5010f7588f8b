/** What a homeserver says of the accounts of its users. */

/** `closed`: the homeserver reports the user as deactivated. `unknown`: it has no such user. */
export type AccountState = 'open' | 'closed' | 'unknown';

/** A homeserver, as far as its accounts go. Whatever is not a plain answer is thrown, never read as a state. */
export interface Accounts {
  /** What stands after the colon in its user ids. */
  serverName(): Promise<string>;
  /** The states of users, in the order of their ids. */
  states(userIds: readonly string[]): Promise<AccountState[]>;
  close(): Promise<void>;
}

/** What stands after the first colon of a user id. */
export const serverOf = (userId: string): string => userId.slice(userId.indexOf(':') + 1);
