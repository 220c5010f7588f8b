import { isDeepStrictEqual } from 'node:util';
import { hashOf } from '../../room-keys/storage/import-records.js';
import type { StoredBackup } from '../../room-keys/storage/stored-users.js';
import type { ValidBackup } from './validate.js';

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
