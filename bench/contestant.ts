import type { Key, KeySource } from './keys.js';

/**
 * One of those that do the same work: our server, an earlier build of it, another homeserver, or the bare driver.
 * Whatever does not do it correctly fails the run: a wrong server is not a fast one.
 */
export interface Contestant {
  readonly name: 'ours' | 'before' | 'floor' | 'peer';
  /** Makes an empty backup for a user; each user has a connection of its own. */
  createBackup(user: number): Promise<BackupUnderTest>;
  close(): Promise<void>;
}

/** What a restore took, in milliseconds. */
export interface RestoreTimes {
  ms: number;
  firstByteMs: number;
}

/** One user's backup. Each method checks the answer, and returns the milliseconds until it was there. */
export interface BackupUnderTest {
  /**
   * Stores keys.
   *
   * @param effect what is to become of them: all of them are new, all replace a stored one, or
   *   nothing changes
   */
  store(keys: readonly Key[], effect: 'added' | 'replaced' | 'none'): Promise<number>;
  readKey(key: Key): Promise<number>;
  /** @param keys all that the room holds */
  readRoom(keys: readonly Key[]): Promise<number>;
  /** Reads count and etag. */
  readInformation(): Promise<number>;
  /**
   * Reads all keys.
   *
   * @param source what the keys were made from
   * @param better how many, from the first on, were replaced
   */
  readAll(source: KeySource, better: number): Promise<RestoreTimes>;
  /** Deletes all keys. */
  deleteKeys(): Promise<number>;
  /** Deletes the backup. */
  delete(): Promise<number>;
}

/** @throws Error that says which answer is wrong */
export function check(right: boolean, what: () => string): asserts right {
  if (!right) throw new Error(`The benchmark stops, since an answer is wrong: ${what()}`);
}
