import { selectWrites, type Writes } from '../room-keys/replacement.js';
import type { LockedBackup } from '../room-keys/storage/locked-backup.js';
import type { KeyOfDevice } from '../room-keys/storage/rows.js';
import type { StoredRank } from '../room-keys/storage/stored-ranks.js';

/** Stores keys of several devices by the same rule as uploads. The caller updates the etag. */
export async function mergeKeys<K extends KeyOfDevice>(
  backup: LockedBackup,
  keys: readonly K[],
): Promise<Writes<K, StoredRank>> {
  const writes = selectWrites(keys, await backup.ranks(keys));
  for (const [deviceId, some] of byDevice(writes.inserts, (key) => key)) {
    await backup.add(some, deviceId);
  }
  for (const [deviceId, some] of byDevice(writes.updates, ({ key }) => key)) {
    await backup.replace(some, deviceId);
  }
  return writes;
}

function byDevice<T>(
  all: readonly T[],
  keyOf: (one: T) => KeyOfDevice,
): Map<string | undefined, T[]> {
  const groups = new Map<string | undefined, T[]>();
  for (const one of all) {
    const { deviceId } = keyOf(one);
    const group = groups.get(deviceId);
    if (group) group.push(one);
    else groups.set(deviceId, [one]);
  }
  return groups;
}
