import type { ExportRepository } from '../../room-keys/storage/export.repository.js';
import type { KeyOfDevice } from '../../room-keys/storage/rows.js';
import { KeysChecksum } from './checksum.js';
import { FORMAT_VERSION, type Line } from './jsonl.format.js';
import type { RoomKeysTransferProgress } from './transfer.js';

const USERS_PER_PAGE = 500;

/** Yields the text of a file, some lines at a time; each user is read in a consistent snapshot. */
export async function* exportedLines(
  storage: ExportRepository,
  userId: string | undefined,
  onProgress: (progress: RoomKeysTransferProgress) => void,
): AsyncGenerator<string> {
  const totals = await storage.totals(userId);
  const done = { users: 0, backups: 0, keys: 0 };
  const reportProgress = () =>
    onProgress({
      users: done.users,
      usersInAll: totals.users,
      keys: done.keys,
      keysInAll: totals.keys,
    });
  reportProgress();
  yield text({ type: 'nestjs-room-keys', format: FORMAT_VERSION });
  for await (const id of userIds(storage, userId)) {
    let checksum: KeysChecksum | undefined;
    for await (const part of storage.userWithKeys(id)) {
      if ('keys' in part) {
        checksum?.add(part.keys);
        done.keys += part.keys.length;
        yield part.keys.map(keyLine).join('');
        reportProgress();
        continue;
      }
      if (checksum) yield endOf(checksum);
      if ('user' in part) {
        const { lastVersion, reserved } = part.user;
        yield text({
          type: 'user',
          user_id: id,
          last_version: lastVersion,
          ...(reserved.length === 0 ? {} : { reserved_versions: [...reserved] }),
        });
        done.users += 1;
        continue;
      }
      const { version, algorithm, authData, etag, keyCount, createdAt, changedAt } = part.backup;
      checksum = new KeysChecksum();
      done.backups += 1;
      yield text({
        type: 'backup',
        version,
        algorithm,
        auth_data: authData,
        etag,
        count: keyCount,
        created_at: createdAt,
        changed_at: changedAt,
      });
    }
    if (checksum) yield endOf(checksum);
    reportProgress();
  }
  yield text({ type: 'end', ...done });
}

async function* userIds(
  storage: ExportRepository,
  userId: string | undefined,
): AsyncGenerator<string> {
  if (userId !== undefined) {
    yield userId;
    return;
  }
  for (let after: string | undefined; ;) {
    const page = await storage.userIds(after, USERS_PER_PAGE);
    yield* page;
    after = page.at(-1);
    if (page.length < USERS_PER_PAGE) return;
  }
}

const text = (line: Line) => `${JSON.stringify(line)}\n`;

const endOf = ({ count, hex }: KeysChecksum) => text({ type: 'backup_end', count, checksum: hex });

const keyLine = (key: KeyOfDevice) =>
  text({
    type: 'key',
    room_id: key.roomId,
    session_id: key.sessionId,
    first_message_index: key.firstMessageIndex,
    forwarded_count: key.forwardedCount,
    is_verified: key.isVerified,
    session_data: key.sessionData,
    ...(key.deviceId === undefined ? {} : { device_id: key.deviceId }),
  });
