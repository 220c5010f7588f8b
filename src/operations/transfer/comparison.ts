/** How the backups of a user in a source compare with those that are stored here, without reading a key. */
import { isDeepStrictEqual } from 'node:util';
import { hashOf } from '../../room-keys/storage/import-records.js';
import type { StoredBackup, StoredUser } from '../../room-keys/storage/stored-users.js';
import {
  isVersion,
  type SourceVersion,
  type SourceVersions,
  type ValidBackup,
  ValidationError,
} from './validate.js';

/**
 * Whether two are one backup: by the public key that its keys are encrypted to, or where there is none, by all of
 * `auth_data`, which devices otherwise sign again.
 */
export function isSameBackup(one: Described, other: Described): boolean {
  if (one.algorithm !== other.algorithm) return false;
  const [data, otherData] = [one, other].map(
    ({ authData }) => JSON.parse(authData) as { public_key?: unknown },
  );
  const publicKey = data?.public_key;
  if (typeof publicKey === 'string' && typeof otherData?.public_key === 'string') {
    return publicKey === otherData.public_key;
  }
  return isDeepStrictEqual(data, otherData);
}

type Described = Pick<ValidBackup, 'algorithm' | 'authData'>;

/** Whether `auth_data` is what the last import read. */
export const hasImportedAuthData = ({ authData, record }: StoredBackup): boolean =>
  record?.authDataHash === hashOf(authData);

/** Whether only imports have changed a backup. */
export const isAsImported = (ours: StoredBackup): boolean =>
  ours.record?.etag === ours.etag && hasImportedAuthData(ours);

/** The newest backup of the source that was not deleted here. */
export function newestOf(
  { versions }: SourceVersions,
  stored: StoredUser,
): SourceVersion | undefined {
  let newest: SourceVersion | undefined;
  for (const one of versions) {
    if (one.deleted || !isVersion(one.version) || wasDeletedHere(one.version, stored)) continue;
    if (newest === undefined || one.version > Number(newest.version)) newest = one;
  }
  return newest;
}

/** Whether the source has deleted a version, as it does not list it. */
export const isMissing = (
  version: number,
  { versions, lastVersion, reserved, othersAreDeleted }: SourceVersions,
): boolean =>
  othersAreDeleted === true &&
  version <= lastVersion &&
  !versions.some((one) => one.version === version) &&
  !reserved?.includes(version);

export const isStored = (version: number, { backups }: StoredUser): boolean =>
  backups.some((ours) => ours.version === version);

/** Whether a version was here and has been deleted. */
export const wasDeletedHere = (version: number, stored: StoredUser): boolean =>
  version <= stored.lastVersion && !stored.reserved.includes(version) && !isStored(version, stored);

/** Whether the user created the current backup here, or went on with it here after the source deleted it. */
export function hasOwnCurrent(source: SourceVersions, stored: StoredUser): boolean {
  const current = stored.backups.find(({ version }) => version === stored.currentVersion);
  if (!current) return false;
  const listed = source.versions.find(({ version }) => version === current.version);
  if (!listed) return !(isMissing(current.version, source) && isAsImported(current));
  if (listed.deleted) return !isAsImported(current);
  if (listed.backup instanceof ValidationError) return current.record === undefined;
  return !isSameBackup(listed.backup, current);
}
