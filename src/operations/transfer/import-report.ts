import {
  DECISIONS,
  type RoomKeysImportOptions,
  type RoomKeysImportResult,
  type RoomKeysTransferIssue,
  type RoomKeysTransferProgress,
} from './transfer.js';

/** Counts what an import does, and reports it as it goes on. */
export class ImportReport {
  readonly result: RoomKeysImportResult = {
    complete: true,
    users: 0,
    backups: { created: 0, merged: 0, unchanged: 0, deleted: 0, skipped: 0 },
    keys: { read: 0, written: 0, skipped: 0 },
    verified: { backups: 0, keys: 0 },
    issues: {},
  };
  private readonly progress: RoomKeysTransferProgress;

  constructor(
    { users, keys }: { users: number; keys: number },
    private readonly options: Pick<RoomKeysImportOptions, 'signal' | 'onProgress' | 'onIssue'>,
  ) {
    this.progress = { users: 0, usersInAll: users, keys: 0, keysInAll: keys };
    this.reportProgress();
  }

  issue(issue: RoomKeysTransferIssue): void {
    const { result } = this;
    result.issues[issue.code] = (result.issues[issue.code] ?? 0) + 1;
    result.complete &&= DECISIONS.includes(issue.code);
    this.options.onIssue?.(issue);
  }

  backup(outcome: keyof RoomKeysImportResult['backups']): void {
    this.result.backups[outcome] += 1;
  }

  /** @throws the reason of the signal that aborts the import */
  keysRead(count: number): void {
    this.result.keys.read += count;
    this.keysPassed(count);
    this.options.signal?.throwIfAborted();
  }

  /** Keys that are not read, since their backup is skipped or deleted. */
  keysPassed(count: number): void {
    if (count === 0) return;
    this.progress.keys += count;
    this.reportProgress();
  }

  keySkipped(issue: RoomKeysTransferIssue): void {
    this.result.keys.skipped += 1;
    this.issue(issue);
  }

  orphanedKeys(count: number, issue: RoomKeysTransferIssue): void {
    this.result.keys.skipped += count;
    this.issue(issue);
    this.keysPassed(count);
  }

  keysWritten(count: number): void {
    this.result.keys.written += count;
  }

  /** A backup whose keys were read back. */
  verified(keys: number): void {
    this.result.verified.backups += 1;
    this.result.verified.keys += keys;
  }

  user(): void {
    this.result.users += 1;
    this.progress.users += 1;
    this.reportProgress();
  }

  private reportProgress(): void {
    this.options.onProgress?.({ ...this.progress });
  }
}
