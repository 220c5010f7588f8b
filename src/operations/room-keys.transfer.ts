import type { DataSource } from 'typeorm';
import { retentionOf, type RoomKeysOptions } from '../room-keys/room-keys-options.interface.js';
import { ExportRepository } from '../room-keys/storage/export.repository.js';
import { ImportRepository } from '../room-keys/storage/import.repository.js';
import { RoomKeysRepository } from '../room-keys/storage/room-keys.repository.js';
import type { StoredUser } from '../room-keys/storage/stored-users.js';
import type { BackupSource, SourceUser } from './transfer/backup-source.js';
import { decide, isUpToDate } from './transfer/decide.js';
import { type HomeserverKind, HomeserverSource } from './transfer/homeserver.source.js';
import { ImportReport } from './transfer/import-report.js';
import { exportedLines } from './transfer/jsonl.export.js';
import { JsonlSource } from './transfer/jsonl.source.js';
import type {
  RoomKeysImportOptions,
  RoomKeysImportResult,
  RoomKeysTransferProgress,
} from './transfer/transfer.js';
import { type ImportStorage, UserImport } from './transfer/user-import.js';
import { shownId, shownVersion, validateUser, validateUserId } from './transfer/validate.js';

/**
 * Moves backups in and out, while servers are running. All it needs is a DataSource whose `migrations` have run:
 * `new RoomKeysTransfer(dataSource)`.
 *
 * An import goes through users one after the other. It creates backups that do not exist here, with their version
 * ids, etags, `auth_data` and `session_data` unchanged, and merges keys into those that do: it never removes a key,
 * and never replaces one by a worse one. `auth_data` is replaced unless it was changed here. Versions that were
 * deleted here stay deleted. An import can be aborted and run again; a second one changes nothing.
 *
 * @publicApi
 */
export class RoomKeysTransfer {
  private readonly historyDays: number;

  /**
   * @param dataSource initialized, of type 'mysql', 'mariadb', 'postgres' or 'better-sqlite3'
   * @param options those of the module: what is written to the history
   */
  constructor(
    private readonly dataSource: DataSource,
    { historyDays }: Pick<RoomKeysOptions, 'historyDays'> = {},
  ) {
    this.historyDays = retentionOf({ historyDays }).historyDays;
  }

  /**
   * Imports from the database of a homeserver, which is only read and may be running.
   *
   * @param from `postgres://user@host/database`, or the path of a SQLite file
   * @throws RoomKeysSourceError where the source cannot be read; what was imported before stays
   */
  async importHomeserver(
    kind: HomeserverKind,
    from: string,
    options: RoomKeysImportOptions = {},
  ): Promise<RoomKeysImportResult> {
    return this.importFrom(await HomeserverSource.open(kind, from), options);
  }

  /**
   * Imports a file of {@link exportJsonl}. It is read once as a whole before anything is written.
   *
   * @throws RoomKeysSourceError where the file is not complete, or a checksum does not match
   */
  async importJsonl(
    file: string,
    options: RoomKeysImportOptions = {},
  ): Promise<RoomKeysImportResult> {
    return this.importFrom(await JsonlSource.open(file), options);
  }

  /**
   * Yields the text of a file with the backups of one user or of all, some lines at a time. Each user is read in a
   * consistent snapshot.
   */
  exportJsonl({
    userId,
    onProgress,
  }: {
    userId?: string | undefined;
    onProgress?: ((progress: RoomKeysTransferProgress) => void) | undefined;
  } = {}): AsyncIterable<string> {
    const storage = new ExportRepository(this.dataSource);
    return exportedLines(storage, userId, onProgress ?? (() => undefined));
  }

  private async importFrom(
    source: BackupSource,
    options: RoomKeysImportOptions,
  ): Promise<RoomKeysImportResult> {
    try {
      if (options.again && options.userId === undefined) {
        throw new Error("RoomKeysTransfer: 'again' needs 'userId': name the user to import again.");
      }
      const repository = new RoomKeysRepository(this.dataSource);
      const storage: ImportStorage = {
        imports: new ImportRepository(this.dataSource, this.historyDays),
        exports: new ExportRepository(this.dataSource),
        fits: (userId, json) => repository.fits(userId, json),
      };
      return await importAll(storage, source, options);
    } finally {
      await source.close();
    }
  }
}

/**
 * Imports what a source has, one user after the other. It can be aborted at any point and run again. At every moment
 * and for every reader, a backup either does not exist yet, or has all the keys that it is created with.
 */
async function importAll(
  storage: ImportStorage,
  source: BackupSource,
  options: RoomKeysImportOptions,
): Promise<RoomKeysImportResult> {
  const report = new ImportReport(await source.totals(options.userId), options);
  for await (const page of source.users(options.userId)) {
    const stored = await storage.imports.users(page.map(({ userId }) => userId));
    for (const user of page) {
      options.signal?.throwIfAborted();
      await importUser(storage, source, user, stored.get(user.userId), report, options);
      report.user();
    }
  }
  // reported last, since no user may have them
  for (const { userId, version, count } of await source.orphanedKeys(options.userId)) {
    report.orphanedKeys(count, {
      code: 'orphaned-keys',
      message: `The source has ${count === 1 ? '1 key' : `${count} keys`} of this version, but not the version itself.`,
      userId: shownId(userId) ?? '',
      version: shownVersion(version),
    });
  }
  return report.result;
}

async function importUser(
  storage: ImportStorage,
  source: BackupSource,
  user: SourceUser,
  stored: StoredUser | undefined,
  report: ImportReport,
  options: RoomKeysImportOptions,
): Promise<void> {
  const { userId, backups } = user;
  const message = validateUserId(userId);
  if (message !== undefined) {
    report.issue({ code: 'user-id', message, userId: shownId(userId) ?? '' });
  } else if (options.changedOnly) {
    const valid = await validateUser(user, (json) => storage.fits(userId, json));
    if (isUpToDate(decide(valid, stored, options), stored)) {
      for (const { deleted } of backups) if (!deleted) report.backup('unchanged');
      return;
    }
  }
  const reading = await source.open(userId);
  if (!reading) return;
  const one = new UserImport(storage, reading, report, options);
  try {
    await (message === undefined ? one.run() : one.skip());
  } finally {
    await one.discard();
    await reading.close();
  }
}
