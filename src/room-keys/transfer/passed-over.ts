import type { OpenSourceUser } from './transfer.js';

/** How many keys of a user were not read, since their backup is not taken, or need not be: a homeserver may keep those of deleted ones. */
export async function keysPassedOver(
  { user: { backups }, count }: Pick<OpenSourceUser, 'user' | 'count'>,
  wasRead: (version: unknown) => boolean,
): Promise<number> {
  let keys = 0;
  const seen = new Set<unknown>();
  for (const backup of backups) {
    // a broken index of the source lets a version in twice, and its keys belong to both
    if (seen.has(backup.version) || wasRead(backup.version)) continue;
    seen.add(backup.version);
    keys += await count(backup);
  }
  return keys;
}
