import { isDeepStrictEqual } from 'node:util';
import type { ExportRepository } from '../../room-keys/storage/export.repository.js';
import {
  ConcurrentChangeError,
  type ImportRepository,
  type StagedBackup,
} from '../../room-keys/storage/import.repository.js';
import { hashOf } from '../../room-keys/storage/import-records.js';
import type { StagedKeySet } from '../../room-keys/storage/staged-key-set.js';
import type { StoredUser } from '../../room-keys/storage/stored-users.js';
import { BackupMerge, VerificationFailure } from './backup-merge.js';
import type { OpenSourceUser, SourceBackup } from './backup-source.js';
import { KeysChecksum } from './checksum.js';
import { type Action, decide, type Decision } from './decide.js';
import type { ImportReport } from './import-report.js';
import { hasImportedAuthData } from './comparison.js';
import { sourceKeys } from './source-keys.js';
import type { RoomKeysImportOptions, RoomKeysTransferIssueCode } from './transfer.js';
import {
  shownVersion,
  type SourceVersions,
  validateUser,
  type ValidBackup,
  ValidationError,
} from './validate.js';

/** Times that it is decided what to do, while clients change the user's backups. */
const ATTEMPTS = 5;

/** Where imports read and write. */
export interface ImportStorage {
  imports: ImportRepository;
  exports: ExportRepository;
  /** Whether the database can store a JSON text. */
  fits(userId: string, json: string): Promise<boolean>;
}

/**
 * Imports one user. New backups are first written where no request reads them, and attached all at once; last come
 * the changes of backups that are here already.
 */
export class UserImport {
  private readonly userId: string;
  private readonly staged = new Map<number, StagedBackup>();
  private readonly keySets: StagedKeySet[] = [];
  private readonly read = new Set<SourceBackup>();

  constructor(
    private readonly storage: ImportStorage,
    private readonly source: OpenSourceUser,
    private readonly report: ImportReport,
    private readonly options: RoomKeysImportOptions,
  ) {
    this.userId = source.user.userId;
  }

  async run(): Promise<void> {
    const source = await validateUser(this.source.user, this.fits);
    const decision = await this.attach(source);
    for (const action of decision?.actions ?? []) await this.carryOut(action);
    if (!decision) {
      for (const { deleted } of source.versions) if (!deleted) this.report.backup('skipped');
      this.issue('in-use', undefined, IN_USE);
    }
    await this.passUnreadKeys();
  }

  /** Imports nothing of a user who cannot be stored. */
  async skip(): Promise<void> {
    for (const { deleted } of this.source.user.backups) if (!deleted) this.report.backup('skipped');
    await this.passUnreadKeys();
  }

  /** Retires key sets that no backup has. */
  async discard(): Promise<void> {
    for (const keys of this.keySets) await keys.discard().catch(() => undefined);
  }

  /** Creates backups and reserves versions. Returns what was decided; undefined where clients changed it each time. */
  private async attach(source: SourceVersions): Promise<Decision | undefined> {
    const { imports } = this.storage;
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const stored = (await imports.users([this.userId])).get(this.userId);
      const [versions, decision] = await this.stageAll(source, stored);
      source = versions;
      const additions = additionsOf(decision);
      if (isDeepStrictEqual(additions, unchanged(stored))) return decision;
      this.options.signal?.throwIfAborted();
      const backups = additions.created.flatMap((version) => this.staged.get(version) ?? []);
      try {
        await imports.attach(this.userId, { ...decision, backups }, (now) =>
          isDeepStrictEqual(additionsOf(decide(versions, now, this.options)), additions),
        );
        return decision;
      } catch (error) {
        if (!(error instanceof ConcurrentChangeError)) throw error;
      }
    }
    return undefined;
  }

  /**
   * Stages all backups to be created, the newest first. One that cannot be stored as it was read counts as one
   * that cannot be read.
   */
  private async stageAll(
    source: SourceVersions,
    stored: StoredUser | undefined,
  ): Promise<[SourceVersions, Decision]> {
    for (;;) {
      const decision = decide(source, stored, this.options);
      const next = decision.actions.findLast(
        (action) => action.type === 'create' && !this.staged.has(action.version),
      );
      if (next?.type !== 'create') return [source, decision];
      if (await this.stage(next.backup)) continue;
      const backup = new ValidationError(NOT_VERIFIED, 'verification');
      source = {
        ...source,
        versions: source.versions.map((one) =>
          one.version === next.version ? { ...one, backup } : one,
        ),
      };
    }
  }

  /** Writes all keys where no request reads them. Returns whether they are the same when they are read back. */
  private async stage(backup: ValidBackup): Promise<boolean> {
    const { imports, exports } = this.storage;
    const keys = await imports.stage();
    this.keySets.push(keys);
    const checksum = new KeysChecksum();
    for await (const page of this.keysOf(backup)) {
      checksum.add(page);
      await keys.add(page);
    }
    const stored = new KeysChecksum();
    for await (const page of exports.keysOf(keys.keySetId, keys.largestKey)) stored.add(page);
    if (!stored.equals(checksum)) return false;
    const { version, authData, etag, source } = backup;
    const { createdAt, changedAt } = source;
    const record = { sourceEtag: etag, etag, authDataHash: hashOf(authData) };
    this.staged.set(version, { ...backup, keys, createdAt, changedAt, record });
    return true;
  }

  private async carryOut(action: Action): Promise<void> {
    const { report } = this;
    switch (action.type) {
      case 'create': {
        const { keyCount } = this.staged.get(action.version)?.keys ?? { keyCount: 0 };
        report.backup('created');
        report.keysWritten(keyCount);
        report.verified(keyCount);
        return;
      }
      case 'merge':
        return this.merge(action);
      case 'delete':
        return this.delete(action);
      case 'unchanged':
        report.backup('unchanged');
        return;
      case 'skip':
        report.backup('skipped');
        if (action.reason) this.issue(action.reason.code, action.version, action.reason.message);
        return;
      case 'note':
        this.issue(action.reason.code, action.version, action.reason.message);
    }
  }

  private async merge(action: Extract<Action, { type: 'merge' }>): Promise<void> {
    const { report, storage, userId } = this;
    try {
      const merge = new BackupMerge(storage.imports, userId, action);
      const result = await merge.run(this.keysOf(action.backup));
      if (!result) {
        const message = 'The backup was deleted here during the import.';
        this.issue('deleted-here', action.version, message);
        return;
      }
      report.backup(result.isChanged ? 'merged' : 'unchanged');
      report.keysWritten(result.written);
      report.verified(result.keys);
    } catch (error) {
      if (!(error instanceof VerificationFailure)) throw error;
      report.backup('skipped');
      this.issue('verification', action.version, NOT_VERIFIED);
    }
  }

  private async delete({ stored, version }: Extract<Action, { type: 'delete' }>): Promise<void> {
    const isDeleted = await this.storage.imports.locked(this.userId, version, async (target) => {
      if (!target) return true;
      const authData = await target.authData();
      const isSame = Number(target.backup.state.etag) === stored.etag;
      if (!isSame || !hasImportedAuthData({ ...stored, authData })) return false;
      await target.backup.delete();
      await target.remember('deleted');
      return true;
    });
    if (isDeleted) this.report.backup('deleted');
    else {
      const message = 'The backup was deleted in the source, but was changed here, and is kept.';
      this.issue('deleted-in-source', version, message);
    }
  }

  private keysOf(backup: ValidBackup) {
    this.read.add(backup.source);
    return sourceKeys(this.source, backup, this.fits, this.report);
  }

  private readonly fits = (json: string) => this.storage.fits(this.userId, json);

  /** Counts the keys of backups that were not read; a homeserver may keep those of deleted ones. */
  private async passUnreadKeys(): Promise<void> {
    // with `changedOnly`, progress is counted in users
    if (this.options.changedOnly) return;
    const versions = new Set([...this.read].map(({ version }) => version));
    for (const backup of this.source.user.backups) {
      // a broken index of the source lets a version in twice, and its keys belong to both
      if (versions.has(backup.version)) continue;
      versions.add(backup.version);
      this.report.keysPassed(await this.source.count(backup));
    }
  }

  private issue(code: RoomKeysTransferIssueCode, version: unknown, message: string): void {
    this.report.issue({ code, message, userId: this.userId, version: shownVersion(version) });
  }
}

const NOT_VERIFIED = 'What was stored is not what was read, and was undone.';
const IN_USE = `Clients changed the user's backups during each of ${ATTEMPTS} attempts. Run the import again.`;

/** What changes a user before anything is merged. */
const additionsOf = ({ actions, lastVersion, reserved }: Decision) => ({
  created: actions.flatMap((action) => (action.type === 'create' ? action.version : [])),
  lastVersion,
  reserved,
});

const unchanged = (stored: StoredUser | undefined): ReturnType<typeof additionsOf> => ({
  created: [],
  lastVersion: stored?.lastVersion ?? 0,
  reserved: [...(stored?.reserved ?? [])],
});
