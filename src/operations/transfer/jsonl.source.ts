import type {
  BackupSource,
  OpenSourceUser,
  OrphanedKeys,
  SourceBackup,
  SourceKey,
  SourceUser,
} from './backup-source.js';
import {
  type BackupLine,
  readLine,
  readLines,
  reservedVersions,
  type UserLine,
} from './jsonl.format.js';
import { indexFile, type UserPosition } from './jsonl.index.js';

const USERS_PER_PAGE = 200;
const KEYS_PER_PAGE = 1000;
const BYTES_PER_PAGE = 4 * 1024 * 1024;

/** The backups in an exported file. */
export class JsonlSource implements BackupSource {
  private constructor(
    private readonly file: string,
    private readonly index: ReadonlyMap<string, UserPosition>,
  ) {}

  /** @throws SourceError where the file is not complete, or a checksum does not match */
  static async open(file: string): Promise<JsonlSource> {
    return new JsonlSource(file, await indexFile(file));
  }

  totals(userId: string | undefined): Promise<{ users: number; keys: number }> {
    const all = [...this.index]
      .filter(([id]) => userId === undefined || id === userId)
      .map(([, position]) => position);
    return Promise.resolve({
      users: all.length,
      keys: all.reduce((sum, { keys }) => sum + keys, 0),
    });
  }

  async *users(userId: string | undefined): AsyncGenerator<SourceUser[]> {
    let page: SourceUser[] = [];
    for (const [id, position] of this.index) {
      if (userId !== undefined && id !== userId) continue;
      page.push((await this.read(position)).user);
      if (page.length < USERS_PER_PAGE) continue;
      yield page;
      page = [];
    }
    if (page.length > 0) yield page;
  }

  async open(userId: string): Promise<OpenSourceUser | undefined> {
    const position = this.index.get(userId);
    if (!position) return undefined;
    const { user, lines } = await this.read(position);
    const lineOf = (backup: SourceBackup) => {
      const line = lines.get(backup);
      if (!line) throw new Error('A backup of another user');
      return line;
    };
    return {
      user,
      count: (backup) => Promise.resolve(lineOf(backup).line.count),
      keys: (backup) => keysAfter(this.file, lineOf(backup).at),
      close: () => Promise.resolve(),
    };
  }

  /** None: a file with a key that belongs to no backup is not valid. */
  orphanedKeys(): Promise<OrphanedKeys[]> {
    return Promise.resolve([]);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  private async read({ at, backups }: UserPosition) {
    const head = (await readLine(this.file, at)) as UserLine;
    const lines = new Map<SourceBackup, { at: number; line: BackupLine }>();
    for (const place of backups) {
      const line = (await readLine(this.file, place)) as BackupLine;
      const backup: SourceBackup = {
        version: line.version,
        deleted: false,
        algorithm: line.algorithm,
        authData: line.auth_data,
        etag: line.etag,
        createdAt: line.created_at,
        changedAt: line.changed_at,
      };
      lines.set(backup, { at: place, line });
    }
    const user: SourceUser = {
      userId: head.user_id,
      lastVersion: head.last_version,
      backups: [...lines.keys()],
      reserved: reservedVersions(head),
      othersAreDeleted: true,
    };
    return { user, lines };
  }
}

async function* keysAfter(file: string, at: number): AsyncGenerator<SourceKey[]> {
  let page: SourceKey[] = [];
  let size = 0;
  let isFirst = true;
  for await (const { line } of readLines(file, at)) {
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
