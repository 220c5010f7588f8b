/** The accounts of a homeserver's users. */

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
