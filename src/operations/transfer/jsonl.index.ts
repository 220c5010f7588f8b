import { KeysChecksum } from './checksum.js';
import { SourceError, type SourceKey } from './backup-source.js';
import {
  FORMAT_VERSION,
  type Line,
  readLines,
  reservedVersions,
  TRUNCATED,
} from './jsonl.format.js';
import { isVersion } from './validate.js';

/** Where in a file the lines of a user begin. */
export interface UserPosition {
  at: number;
  backups: number[];
  keys: number;
}

/**
 * Reads a whole file once: whether it is complete, and each backup has its count and checksum.
 *
 * @returns the users, by their id
 * @throws SourceError if it is not: nothing of such a file may be imported
 */
export async function indexFile(file: string): Promise<Map<string, UserPosition>> {
  const index = new FileIndex();
  let number = 0;
  for await (const { line, at } of readLines(file, 0)) {
    number += 1;
    const message = index.add(line, at, number === 1);
    if (message === undefined) continue;
    throw new SourceError(`line ${number}: ${message}. Nothing was imported.`);
  }
  if (!index.isComplete) throw new SourceError(TRUNCATED);
  return index.users;
}

class FileIndex {
  readonly users = new Map<string, UserPosition>();
  isComplete = false;
  private readonly counts = { users: 0, backups: 0, keys: 0 };
  private user: UserPosition | undefined;
  /** Of the backup whose keys are being read. */
  private checksum: KeysChecksum | undefined;
  private expected = 0;

  /** @returns what is wrong with the line; undefined if it is valid */
  add(line: Line, at: number, isFirst: boolean): string | undefined {
    if (this.isComplete) return 'the file goes on after its end';
    if (isFirst !== (line.type === 'nestjs-room-keys')) {
      return isFirst ? 'the file is not an export of nestjs-room-keys' : 'unexpected header';
    }
    if (this.checksum && line.type !== 'key' && line.type !== 'backup_end') {
      return `unexpected ${line.type} within a backup`;
    }
    switch (line.type) {
      case 'nestjs-room-keys':
        if (line.format === FORMAT_VERSION) return undefined;
        return `unsupported format version ${line.format} (expected ${FORMAT_VERSION})`;
      case 'user': {
        const { user_id: userId, last_version: last } = line;
        if (!isWhole(last)) return 'last_version is not a whole number';
        const reserved: unknown = reservedVersions(line);
        if (!Array.isArray(reserved) || !reserved.every((one) => isVersion(one) && one <= last)) {
          return 'reserved_versions must be versions up to last_version';
        }
        if (this.users.has(userId)) return 'duplicate user';
        this.user = { at, backups: [], keys: 0 };
        this.users.set(userId, this.user);
        this.counts.users += 1;
        return undefined;
      }
      case 'backup':
        if (!this.user) return 'backup without a user';
        if (![line.etag, line.count, line.created_at, line.changed_at].every(isWhole)) {
          return 'etag, count, created_at and changed_at must be whole numbers';
        }
        this.user.backups.push(at);
        this.checksum = new KeysChecksum();
        this.expected = line.count;
        this.counts.backups += 1;
        return undefined;
      case 'key':
        if (!this.checksum || !this.user) return 'key without a backup';
        this.checksum.add([asKey(line)]);
        this.user.keys += 1;
        this.counts.keys += 1;
        return undefined;
      case 'backup_end': {
        const { count, hex } = this.checksum ?? { count: -1, hex: '' };
        if (count !== line.count || count !== this.expected || hex !== line.checksum) {
          return 'the checksum does not match: the backup has changed since it was exported';
        }
        this.checksum = undefined;
        return undefined;
      }
      case 'end':
        for (const what of ['users', 'backups', 'keys'] as const) {
          const count = this.counts[what];
          if (line[what] !== count) return `expected ${line[what]} ${what}, found ${count}`;
        }
        this.isComplete = true;
        return undefined;
      default:
        return 'unknown type';
    }
  }
}

/** For the checksum, which covers what the file says, valid or not. */
const asKey = (line: SourceKey) => ({
  roomId: String(line.room_id),
  sessionId: String(line.session_id),
  firstMessageIndex: Number(line.first_message_index),
  forwardedCount: Number(line.forwarded_count),
  isVerified: Boolean(line.is_verified),
  sessionData: String(line.session_data),
});

const isWhole = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0;
