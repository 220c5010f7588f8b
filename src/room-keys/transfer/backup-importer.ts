import type { DataSource } from 'typeorm';
import {
  ChangedMeanwhile,
  ImportRepository,
  isMirror,
  type TargetUser,
} from '../storage/import.repository.js';
import { keysPassedOver } from './passed-over.js';
import { checkedBackup, Fault, faultOfUserId, shownId, shownVersion } from './checked.js';
import type {
  BackupSource,
  OpenSourceUser,
  RoomKeysImportResult,
  RoomKeysTransferIssue,
  RoomKeysTransferProgress,
  SourceUser,
} from './transfer.js';
import { UserImport } from './user-import.js';
import { UserLedger } from './user-ledger.js';
import { RoomKeysRepository } from '../storage/room-keys.repository.js';

/** Times that a user who is in use here is begun again. */
const ATTEMPTS = 5;

/** What an import may be told. */
export interface ImportOptions {
  /** Imports this user only. Default: everybody. */
  userId?: string | undefined;
  /** Passes over backups whose etag and `auth_data` are as at the last import, without reading their keys. Default: false. */
  changedOnly?: boolean | undefined;
  /** Breaks the import off: it rejects with the signal's reason. What was done stays, and is sound. Default: none. */
  signal?: AbortSignal | undefined;
  /** Called about once every thousand keys, and after each user. Default: nobody is told. */
  onProgress?: ((progress: RoomKeysTransferProgress) => void) | undefined;
  /** Called with everything that is not taken, and why. Default: nobody is told. */
  onIssue?: ((issue: RoomKeysTransferIssue) => void) | undefined;
}

/**
 * Takes over what a source has, one user after the other, so that to break it off at any point and to
 * do it again gives the same. A backup is, at every moment and for every reader, either not there, as
 * it was, or as it is in the source.
 */
export class BackupImporter {
  private readonly storage: ImportRepository;
  private readonly repository: RoomKeysRepository;
  private readonly result: RoomKeysImportResult = {
    users: 0,
    backups: { created: 0, followed: 0, merged: 0, unchanged: 0, deleted: 0, refused: 0 },
    keys: { read: 0, written: 0, refused: 0 },
    verified: { backups: 0, keys: 0 },
    issues: {},
  };
  private readonly progress: RoomKeysTransferProgress = {
    users: 0,
    usersInAll: 0,
    keys: 0,
    keysInAll: 0,
  };

  constructor(
    dataSource: DataSource,
    private readonly source: BackupSource,
    private readonly options: ImportOptions,
  ) {
    this.storage = new ImportRepository(dataSource);
    this.repository = new RoomKeysRepository(dataSource);
  }

  async run(): Promise<RoomKeysImportResult> {
    const { users, keys } = await this.source.totals(this.options.userId);
    this.progress.usersInAll = users;
    this.progress.keysInAll = keys;
    this.tellProgress();
    for await (const page of this.source.users(this.options.userId)) {
      const known = await this.storage.users(page.map(({ userId }) => userId));
      for (const seen of page) {
        this.options.signal?.throwIfAborted();
        const fault = faultOfUserId(seen.userId);
        if (fault !== undefined) {
          this.tell({ code: 'user', message: fault, userId: shownId(seen.userId) ?? '' });
          await this.passOver(seen.userId);
        } else if (this.options.changedOnly && isUpToDate(seen, known.get(seen.userId))) {
          this.result.backups.unchanged += seen.backups.filter(({ deleted }) => !deleted).length;
        } else {
          await this.user(seen.userId);
        }
        this.result.users += 1;
        this.progress.users += 1;
        this.tellProgress();
      }
    }
    await this.strays();
    return this.result;
  }

  /** Keys that nobody reads in the source either; they are told last, since no user may have them. */
  private async strays(): Promise<void> {
    for (const { userId, version, count } of await this.source.strays(this.options.userId)) {
      this.tell({
        code: 'stray-keys',
        message: `The source does not list the version, and has ${count === 1 ? '1 key' : `${count} keys`} of it.`,
        userId: shownId(userId) ?? '',
        version: shownVersion(version),
      });
      this.result.keys.refused += count;
      this.progress.keys += count;
      this.tellProgress();
    }
  }

  private async passOver(userId: string): Promise<void> {
    if (this.options.changedOnly) return;
    const reading = await this.source.open(userId);
    if (!reading) return;
    try {
      this.progress.keys += await keysPassedOver(reading, () => false);
    } finally {
      await reading.close();
    }
  }

  /** From the beginning, when somebody has changed the user here meanwhile; who does so each time is passed over. */
  private async user(userId: string): Promise<void> {
    const ledger = new UserLedger(this.result, this.progress, {
      issue: (issue) => this.tell(issue),
      progress: () => this.tellProgress(),
    });
    for (let attempt = 1; ; attempt++) {
      const reading = await this.source.open(userId);
      if (!reading) return;
      const one = new UserImport(this.storage, this.repository, reading, ledger, this.options);
      try {
        await one.run();
        ledger.close();
        return;
      } catch (error) {
        if (!(error instanceof ChangedMeanwhile)) throw error;
        if (attempt < ATTEMPTS) continue;
        await this.giveUp(reading, ledger);
        return;
      } finally {
        await one.discard();
        await reading.close();
      }
    }
  }

  private async giveUp(reading: OpenSourceUser, ledger: UserLedger): Promise<void> {
    const { userId, backups } = reading.user;
    this.tell({
      code: 'in-use',
      message: `The user's backups were changed here during each of ${ATTEMPTS} attempts, and not all of them could be taken: import again.`,
      userId,
    });
    ledger.giveUp(backups);
    ledger.close();
    // with `changedOnly` it is users that are counted
    if (this.options.changedOnly) return;
    ledger.passedOver(await keysPassedOver(reading, (version) => ledger.hasRead(version)));
  }

  private tell(issue: RoomKeysTransferIssue): void {
    this.result.issues[issue.code] = (this.result.issues[issue.code] ?? 0) + 1;
    this.options.onIssue?.(issue);
  }

  private tellProgress(): void {
    this.options.onProgress?.({ ...this.progress });
  }
}

/** Whether nothing is to be done for a user, as far as can be told without reading keys. */
function isUpToDate(
  { backups, lastVersion, restIsDeleted }: SourceUser,
  target: TargetUser | undefined,
): boolean {
  if (!target || target.lastVersion < lastVersion || target.withheld.length > 0) return false;
  const isTold = ({ version }: { version: number }) =>
    version > lastVersion || backups.some((source) => source.version === version);
  if (restIsDeleted && !target.backups.every(isTold)) return false;
  return backups.every((source) => {
    const ours = target.backups.find(({ version }) => version === source.version);
    if (source.deleted) return ours === undefined;
    const backup = checkedBackup(source);
    return (
      ours !== undefined &&
      !(backup instanceof Fault) &&
      isMirror(ours) &&
      ours.etag === backup.etag &&
      ours.authData === backup.authData
    );
  });
}
