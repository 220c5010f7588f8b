import type { RoomKeysHistoryEntry } from 'nestjs-room-keys/operations';
import { counted, table } from './output.js';

const WHAT: Record<RoomKeysHistoryEntry['what'], string> = {
  created: 'created',
  auth_data: 'auth_data changed',
  keys_deleted: 'keys deleted',
  deleted: 'deleted',
  restored: 'restored',
  imported: 'imported',
  erased: 'user erased',
};

/** What happened to a user's backups, a line each: uploads to a backup are refused from when it is not current any more. */
export function historyLines(entries: readonly RoomKeysHistoryEntry[]): string[] {
  if (entries.length === 0) return ['No history: nothing happened within HISTORY_DAYS.'];
  const current = (version: string | undefined) => version ?? 'none';
  return table(
    entries.map(({ at, what, version, deviceId, currentBefore, currentAfter, count, etag }) => [
      at.toISOString(),
      version === undefined ? '' : `version ${version}`,
      WHAT[what],
      counted(count, 'key'),
      etag === undefined ? '' : `etag ${etag}`,
      deviceId === undefined ? 'by no device' : `by ${deviceId}`,
      currentBefore === currentAfter
        ? `current: ${current(currentAfter)}`
        : `current: ${current(currentBefore)} → ${current(currentAfter)}`,
    ]),
  );
}
