import { createReadStream } from 'node:fs';
import { SourceError } from '../storage/source-database.js';
import { isVersion } from './checked.js';
import { KeysChecksum } from './checksum.js';
import { type BackupLine, FORMAT_VERSION, type Line, type UserLine } from './jsonl.format.js';
import type {
  BackupSource,
  OpenSourceUser,
  SourceBackup,
  SourceKey,
  SourceUser,
  StrayKeys,
} from './transfer.js';

const USERS_PER_PAGE = 200;
const KEYS_PER_PAGE = 1000;
const BYTES_PER_PAGE = 4 * 1024 * 1024;
const MAX_LINE_BYTES = 128 * 1024 * 1024;

/** Where a user's lines begin. */
interface UserPlace {
  at: number;
  backups: number[];
  keys: number;
}

/** The backups in a file that was exported. */
export class JsonlSource implements BackupSource {
  private constructor(
    private readonly file: string,
    private readonly places: ReadonlyMap<string, UserPlace>,
  ) {}

  /**
   * Reads the whole file once: whether it is complete, and each backup's count and checksum are right.
   *
   * @throws SourceError where they are not: nothing of such a file is to be imported
   */
  static async open(file: string): Promise<JsonlSource> {
    return new JsonlSource(file, await checkedPlaces(file));
  }

  totals(userId: string | undefined): Promise<{ users: number; keys: number }> {
    const places =
      userId === undefined ? [...this.places.values()] : [this.places.get(userId)].filter(isThere);
    return Promise.resolve({
      users: places.length,
      keys: places.reduce((sum, { keys }) => sum + keys, 0),
    });
  }

  async *users(userId: string | undefined): AsyncGenerator<SourceUser[]> {
    let page: SourceUser[] = [];
    for (const [id, place] of this.places) {
      if (userId !== undefined && id !== userId) continue;
      page.push((await this.read(place)).user);
      if (page.length < USERS_PER_PAGE) continue;
      yield page;
      page = [];
    }
    if (page.length > 0) yield page;
  }

  async open(userId: string): Promise<OpenSourceUser | undefined> {
    const place = this.places.get(userId);
    if (!place) return undefined;
    const { user, lines } = await this.read(place);
    const lineOf = (backup: SourceBackup) => {
      const line = lines.get(backup);
      if (!line) throw new Error('A backup of another user');
      return line;
    };
    return {
      user,
      count: (backup) => Promise.resolve(lines.get(backup)?.line.count ?? 0),
      keys: (backup) => keysAfter(this.file, lineOf(backup).at),
      close: () => Promise.resolve(),
    };
  }

  /** None: a key that follows no backup makes the whole file wrong. */
  strays(): Promise<StrayKeys[]> {
    return Promise.resolve([]);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  private async read({ at, backups }: UserPlace) {
    const head = (await lineAt(this.file, at)) as UserLine;
    const lines = new Map<SourceBackup, { at: number; line: BackupLine }>();
    for (const place of backups) {
      const line = (await lineAt(this.file, place)) as BackupLine;
      lines.set(
        {
          version: line.version,
          deleted: false,
          algorithm: line.algorithm,
          authData: line.auth_data,
          etag: line.etag,
          createdAt: line.created_at,
          changedAt: line.changed_at,
        },
        { at: place, line },
      );
    }
    const user: SourceUser = {
      userId: head.user_id,
      lastVersion: head.last_version,
      backups: [
        ...lines.keys(),
        ...(head.withheld_versions ?? []).map((version) => ({
          version,
          deleted: false,
          algorithm: undefined,
          authData: undefined,
          etag: undefined,
          fault: 'The database that the file is from lacks it too: an import could not take it.',
        })),
      ],
      restIsDeleted: true,
    };
    return { user, lines };
  }
}

async function checkedPlaces(file: string): Promise<Map<string, UserPlace>> {
  const places = new Map<string, UserPlace>();
  const done = { users: 0, backups: 0, keys: 0 };
  let user: UserPlace | undefined;
  let checksum: KeysChecksum | undefined;
  let expected = 0;
  let hasEnded = false;
  let number = 0;
  for await (const { line, at } of linesOf(file, 0)) {
    number += 1;
    const fail = (what: string): never => {
      throw new SourceError(`Line ${number} of the file ${what}. Nothing was imported.`);
    };
    if (hasEnded) fail('comes after its end');
    if ((number === 1) !== (line.type === 'nestjs-room-keys')) {
      fail('is not what it must be: the file is no export of nestjs-room-keys');
    }
    if (checksum && line.type !== 'key' && line.type !== 'backup_end') {
      fail('comes within a backup');
    }
    switch (line.type) {
      case 'nestjs-room-keys':
        if (line.format !== FORMAT_VERSION) {
          fail(`tells of format ${line.format}, and this version reads ${FORMAT_VERSION}`);
        }
        break;
      case 'user':
        if (!isWhole(line.last_version)) fail('has no last_version');
        if (!areVersions(line.withheld_versions ?? [], line.last_version))
          fail('has withheld_versions that are none');
        if (places.has(line.user_id)) fail('has a user for the second time');
        user = { at, backups: [], keys: 0 };
        places.set(line.user_id, user);
        done.users += 1;
        break;
      case 'backup':
        if (!user) fail('is a backup of nobody');
        if (![line.etag, line.count, line.created_at, line.changed_at].every(isWhole)) {
          fail('lacks a number');
        }
        user?.backups.push(at);
        checksum = new KeysChecksum();
        expected = line.count;
        done.backups += 1;
        break;
      case 'key':
        if (!checksum || !user) return fail('is a key of no backup');
        checksum.add([asKey(line)]);
        user.keys += 1;
        done.keys += 1;
        break;
      case 'backup_end':
        if (
          checksum?.count !== line.count ||
          checksum.count !== expected ||
          checksum.hex !== line.checksum
        ) {
          fail('ends a backup that has changed since it was exported: its checksum is another');
        }
        checksum = undefined;
        break;
      case 'end':
        for (const what of ['users', 'backups', 'keys'] as const) {
          if (line[what] !== done[what])
            fail(`counts ${line[what]} ${what}, and there are ${done[what]}`);
        }
        hasEnded = true;
        break;
      default:
        fail('is of no known type');
    }
  }
  if (!hasEnded) throw new SourceError('The file breaks off. Nothing was imported.');
  return places;
}

async function* keysAfter(file: string, at: number): AsyncGenerator<SourceKey[]> {
  let page: SourceKey[] = [];
  let size = 0;
  let isFirst = true;
  for await (const { line } of linesOf(file, at)) {
    // the backup's own line
    if (isFirst) {
      isFirst = false;
      continue;
    }
    if (line.type !== 'key') break;
    page.push(line);
    size += String(line.session_data).length;
    if (page.length < KEYS_PER_PAGE && size < BYTES_PER_PAGE) continue;
    yield page;
    page = [];
    size = 0;
  }
  if (page.length > 0) yield page;
}

async function lineAt(file: string, at: number): Promise<Line> {
  for await (const { line } of linesOf(file, at)) return line;
  throw new SourceError('The file has changed while it was read.');
}

async function* linesOf(file: string, from: number): AsyncGenerator<{ line: Line; at: number }> {
  const stream = createReadStream(file, { start: from, highWaterMark: 256 * 1024 });
  let at = from;
  let parts: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
        parts.push(chunk.subarray(start, end));
        length += end - start;
        yield { line: parsed(Buffer.concat(parts)), at };
        at += length + 1;
        parts = [];
        length = 0;
        start = end + 1;
      }
      parts.push(chunk.subarray(start));
      length += chunk.length - start;
      if (length > MAX_LINE_BYTES) throw new SourceError('The file has a line of over 128 MiB.');
    }
    if (length > 0) throw new SourceError('The file breaks off. Nothing was imported.');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof SourceError || code === undefined) throw error;
    throw new SourceError(`The file cannot be read (${code}): write the path of another one.`, {
      cause: error,
    });
  } finally {
    stream.destroy();
  }
}

function parsed(bytes: Buffer): Line {
  try {
    const line: unknown = JSON.parse(bytes.toString('utf8'));
    if (typeof line === 'object' && line !== null) return line as Line;
  } catch {
    // V8's own message quotes the line
  }
  throw new SourceError('The file has a line that is no JSON object. Nothing was imported.');
}

/** For the checksum, which is about what the file says, be it right or wrong. */
const asKey = (line: SourceKey) => ({
  roomId: String(line.room_id),
  sessionId: String(line.session_id),
  firstMessageIndex: Number(line.first_message_index),
  forwardedCount: Number(line.forwarded_count),
  isVerified: Boolean(line.is_verified),
  sessionData: String(line.session_data),
});

const isWhole = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0;

const areVersions = (value: unknown, last: number) =>
  Array.isArray(value) && value.every((one) => isVersion(one) && one <= last);

const isThere = <T>(value: T | undefined): value is T => value !== undefined;
