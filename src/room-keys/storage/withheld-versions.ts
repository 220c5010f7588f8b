/**
 * Versions that an import could not take: they have no row, and are not deleted either. A user's row
 * holds them as text, in ascending order, with commas between.
 */
import type { Tables } from './tables.js';

/** What a row holds, oldest first. */
export const withheldVersions = (value: unknown): number[] =>
  typeof value === 'string' ? value.split(',').map(Number) : [];

/** What a row is to hold. */
export const withheldText = (versions: readonly number[]): string | null =>
  versions.length === 0 ? null : [...versions].sort((one, other) => one - other).join();

/**
 * The newest, 0 where there is none. While it is newer than all backups that are there, no backup is the
 * current one: the one that would be is not what the user's devices know as such.
 *
 * @param versions oldest first
 */
export const newestWithheld = (versions: readonly number[]): number => versions.at(-1) ?? 0;

/**
 * What `current_version` of a user is, as SQL: the newest backup, unless a withheld version is newer. Its two
 * parameters are the user and {@link newestWithheld}.
 */
export const newestBackup = ({ backups }: Tables): string =>
  `(SELECT MAX(version) FROM ${backups} WHERE user_id = ? AND version > ?)`;
