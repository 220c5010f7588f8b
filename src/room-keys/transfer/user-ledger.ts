import { shownVersion } from './checked.js';
import type {
  RoomKeysImportResult,
  RoomKeysTransferIssue,
  RoomKeysTransferIssueCode,
  RoomKeysTransferProgress,
  SourceBackup,
} from './transfer.js';

type Outcome = keyof RoomKeysImportResult['backups'];

/** What became of a user, counted and told once, however often the user is begun again. */
export class UserLedger {
  private readonly outcomes = new Map<number, Outcome>();
  private readonly told = new Set<string>();
  private readonly read = new Set<number>();
  private readonly verifiedKeys = new Map<number, number>();

  constructor(
    private readonly result: RoomKeysImportResult,
    private readonly progress: RoomKeysTransferProgress,
    private readonly tell: { issue: (issue: RoomKeysTransferIssue) => void; progress: () => void },
  ) {}

  /** What was done stays what was done, when a later attempt finds nothing left to do. */
  outcome(version: number, outcome: Outcome): void {
    const before = this.outcomes.get(version);
    if (before === undefined || before === 'unchanged' || before === 'refused') {
      this.outcomes.set(version, outcome);
    }
  }

  /** Something that is told of a backup, once. */
  issue(code: RoomKeysTransferIssueCode, message: string, userId: string, version: unknown): void {
    const shown = shownVersion(version);
    if (this.told.has(`${code} ${shown}`)) return;
    this.told.add(`${code} ${shown}`);
    this.tell.issue({ code, message, userId, version: shown });
  }

  /** Keys that were written, whatever comes of later attempts. */
  written(keys: number): void {
    this.result.keys.written += keys;
  }

  /** Keys of a backup that were compared with the source's; a later attempt compares them once more. */
  verified(version: number, keys: number): void {
    this.verifiedKeys.set(version, keys);
  }

  /** Begins to read the keys of a backup: what is wrong with them is told, and counted, the first time. */
  reading(version: number): {
    page: (read: number) => void;
    key: (issue: RoomKeysTransferIssue) => void;
  } {
    if (this.read.has(version)) return { page: () => undefined, key: () => undefined };
    this.read.add(version);
    return {
      page: (read) => {
        this.result.keys.read += read;
        this.progress.keys += read;
        this.tell.progress();
      },
      key: (issue) => {
        this.result.keys.refused += 1;
        this.tell.issue(issue);
      },
    };
  }

  /** Whether the keys of a backup have been counted as read. */
  hasRead(version: unknown): boolean {
    return this.read.has(Number(version));
  }

  /** Keys that are not read, since their backup is not taken, or need not be. */
  passedOver(keys: number): void {
    this.progress.keys += keys;
  }

  /** Backups of which nothing came in all attempts are counted as not taken. */
  giveUp(backups: readonly SourceBackup[]): void {
    for (const { version, deleted } of backups) {
      if (!deleted && !this.outcomes.has(Number(version))) this.outcome(Number(version), 'refused');
    }
  }

  /** The user is through. */
  close(): void {
    for (const outcome of this.outcomes.values()) this.result.backups[outcome] += 1;
    for (const keys of this.verifiedKeys.values()) {
      this.result.verified.backups += 1;
      this.result.verified.keys += keys;
    }
  }
}
