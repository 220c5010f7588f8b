import type { DataSource } from 'typeorm';
import { ExportRepository } from '../../room-keys/storage/export.repository.js';
import { ImportRepository } from '../../room-keys/storage/import.repository.js';
import { RoomKeysRepository } from '../../room-keys/storage/room-keys.repository.js';
import type { StoredUser } from '../../room-keys/storage/stored-users.js';
import type { BackupSource, SourceUser } from './backup-source.js';
import { decide, isUpToDate } from './decide.js';
import { ImportReport } from './import-report.js';
import type { RoomKeysImportOptions, RoomKeysImportResult } from './transfer.js';
import { type ImportStorage, UserImport } from './user-import.js';
import { shownId, shownVersion, validateUser, validateUserId } from './validate.js';

/**
 * Imports what a source has, one user after the other. It can be aborted at any point and run again. At every moment
 * and for every reader, a backup either does not exist yet, or has all the keys that it is created with.
 */
export class BackupImporter {
  private readonly storage: ImportStorage;

  constructor(
    dataSource: DataSource,
    private readonly source: BackupSource,
    private readonly options: RoomKeysImportOptions,
    historyDays: number,
  ) {
    if (options.again && options.userId === undefined) {
      throw new Error("RoomKeysTransfer: 'again' needs 'userId': name the user to import again.");
    }
    const repository = new RoomKeysRepository(dataSource);
    this.storage = {
      imports: new ImportRepository(dataSource, historyDays),
      exports: new ExportRepository(dataSource),
      fits: (userId, json) => repository.fits(userId, json),
    };
  }

  async run(): Promise<RoomKeysImportResult> {
    const { source, options } = this;
    const report = new ImportReport(await source.totals(options.userId), options);
    for await (const page of source.users(options.userId)) {
      const stored = await this.storage.imports.users(page.map(({ userId }) => userId));
      for (const user of page) {
        options.signal?.throwIfAborted();
        await this.user(user, stored.get(user.userId), report);
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

  private async user(
    user: SourceUser,
    stored: StoredUser | undefined,
    report: ImportReport,
  ): Promise<void> {
    const { userId, backups } = user;
    const message = validateUserId(userId);
    if (message !== undefined) {
      report.issue({ code: 'user-id', message, userId: shownId(userId) ?? '' });
    } else if (this.options.changedOnly && (await this.isUpToDate(user, stored))) {
      for (const { deleted } of backups) if (!deleted) report.backup('unchanged');
      return;
    }
    const reading = await this.source.open(userId);
    if (!reading) return;
    const one = new UserImport(this.storage, reading, report, this.options);
    try {
      await (message === undefined ? one.run() : one.skip());
    } finally {
      await one.discard();
      await reading.close();
    }
  }

  private async isUpToDate(user: SourceUser, stored: StoredUser | undefined): Promise<boolean> {
    const fits = (json: string) => this.storage.fits(user.userId, json);
    return isUpToDate(decide(await validateUser(user, fits), stored, this.options), stored);
  }
}
