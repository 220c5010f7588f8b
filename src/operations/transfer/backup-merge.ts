import { isDeepStrictEqual } from 'node:util';
import { mergeKeys } from '../merge-keys.js';
import { isBetter, isEmpty } from '../../room-keys/replacement.js';
import { hashOf, type ImportRecord } from '../../room-keys/storage/import-records.js';
import type {
  ImportRepository,
  LockedTarget,
  StoredKey,
} from '../../room-keys/storage/import.repository.js';
import type { KeyOfDevice } from '../../room-keys/storage/rows.js';
import type { Action } from './decide.js';

/** Keys that are written in one transaction. */
const KEYS_PER_WRITE = 2000;
const BYTES_PER_WRITE = 4 * 1024 * 1024;

/** What was stored is not what was to be stored. */
export class VerificationFailure extends Error {}

export interface MergeResult {
  /** Keys of the source. */
  keys: number;
  written: number;
  isChanged: boolean;
}

/**
 * Merges the keys of a source into a backup, as uploads would: it never removes a key, and never replaces one by a
 * worse one. The etag is the source's where all keys are equal to the source's, else it is above it, so that no
 * client knows it for other keys.
 */
export class BackupMerge {
  private readonly pending = new Map<string, KeyOfDevice>();
  private pendingBytes = 0;
  private readonly result: MergeResult = { keys: 0, written: 0, isChanged: false };
  /** As imports know it; another one means that clients have changed keys since. */
  private etag: number;
  private clientsChanged = false;
  /** Whether a stored key is another than the source's, and stays. */
  private differs = false;

  constructor(
    private readonly storage: ImportRepository,
    private readonly userId: string,
    private readonly action: Extract<Action, { type: 'merge' }>,
  ) {
    this.etag = action.stored.etag;
  }

  /**
   * @returns undefined where the backup was deleted meanwhile
   * @throws VerificationFailure
   */
  async run(pages: AsyncIterable<KeyOfDevice[]>): Promise<MergeResult | undefined> {
    const { version } = this.action;
    for await (const page of pages) {
      this.result.keys += page.length;
      const stored = await this.storage.stored(this.userId, version, page);
      page.forEach((key, index) => this.compare(key, stored[index]));
      if (this.pending.size < KEYS_PER_WRITE && this.pendingBytes < BYTES_PER_WRITE) continue;
      if (!(await this.write(false))) return undefined;
    }
    return (await this.write(true)) ? this.result : undefined;
  }

  private compare(key: KeyOfDevice, stored: StoredKey | undefined): void {
    if (stored && isSameKey(key, stored)) return;
    if (stored && !isBetter(key, stored)) {
      this.differs = true;
      return;
    }
    const id = `${key.roomId}\0${key.sessionId}`;
    const before = this.pending.get(id);
    // a source may have a key twice, pages apart
    if (before && !isBetter(key, before)) return;
    this.pending.set(id, key);
    this.pendingBytes += key.sessionData.length;
  }

  /** @returns whether the backup is still there */
  private async write(isLast: boolean): Promise<boolean> {
    const keys = [...this.pending.values()];
    const { version } = this.action;
    const done = await this.storage.locked(this.userId, version, (target) =>
      target ? this.writeLocked(target, keys, isLast) : Promise.resolve(undefined),
    );
    if (!done) return false;
    this.pending.clear();
    this.pendingBytes = 0;
    this.clientsChanged ||= done.clientsChanged;
    this.etag = done.etag;
    this.result.written += done.written;
    this.result.isChanged ||= done.isChanged;
    return true;
  }

  /** May run again from the start: it changes nothing of this object. */
  private async writeLocked(target: LockedTarget, keys: readonly KeyOfDevice[], isLast: boolean) {
    const { backup } = target;
    const { backup: source, stored, takesAuthData } = this.action;
    const before = Number(backup.state.etag);
    const clientsChanged = this.clientsChanged || before !== this.etag;
    const writes = await mergeKeys(backup, keys);
    const keyCount = backup.state.count + writes.inserts.length;
    const least = isLast ? this.leastEtag(keyCount, clientsChanged) : source.etag + 1;
    const touches = !isEmpty(writes) || (isLast && before < least);
    if (touches) await backup.touch(least);
    const written = [...writes.inserts, ...writes.updates.map(({ key }) => key)];
    await verify(target, written);
    // a client may have signed it again since it was decided
    const replacesAuthData =
      isLast && takesAuthData && (await target.authData()) === stored.authData;
    if (replacesAuthData) await backup.updateAuthData(source.authData);
    const etag = Number(backup.state.etag);
    const record = this.recordAt(etag, clientsChanged);
    if (isLast && !isDeepStrictEqual(record, stored.record)) await target.writeRecord(record);
    const isChanged = touches || replacesAuthData;
    if (isLast && (isChanged || this.result.isChanged)) await target.remember('imported');
    return { clientsChanged, etag, written: written.length, isChanged };
  }

  /** @param keyCount of the keys that are stored then */
  private leastEtag(keyCount: number, clientsChanged: boolean): number {
    const isEqual = !this.differs && !clientsChanged && keyCount === this.result.keys;
    return this.action.backup.etag + (isEqual ? 0 : 1);
  }

  private recordAt(etag: number, clientsChanged: boolean): ImportRecord {
    const { backup, stored } = this.action;
    const { record } = stored;
    const isImported = !clientsChanged && record?.etag === stored.etag;
    // an etag that the backup had once is as good as none: it has none of them again
    const ours = isImported ? etag : record?.etag;
    // the next import must not be compared with a source that was reset to an older state
    if (record && backup.etag < record.sourceEtag) return { ...record, etag: ours };
    return { sourceEtag: backup.etag, etag: ours, authDataHash: hashOf(backup.authData) };
  }
}

/** 1 statement per 500 keys: reads back what was written, before it is committed. */
async function verify(target: LockedTarget, keys: readonly KeyOfDevice[]): Promise<void> {
  const stored = await target.stored(keys);
  const isWrong = keys.some((key, index) => {
    const one = stored[index];
    return !one || !isSameKey(key, one);
  });
  if (isWrong) throw new VerificationFailure();
}

const isSameKey = (key: KeyOfDevice, stored: StoredKey): boolean =>
  key.isVerified === stored.isVerified &&
  key.firstMessageIndex === stored.firstMessageIndex &&
  key.forwardedCount === stored.forwardedCount &&
  key.sessionData === stored.sessionData;
