import { isDeepStrictEqual } from 'node:util';
import { isBetter, isEmpty, selectWrites } from '../replacement.js';
import {
  ChangedMeanwhile,
  type ImportRepository,
  isMirror,
  type StagedBackup,
  type TargetBackup,
  type TargetUser,
} from '../storage/import.repository.js';
import {
  type CheckedBackup,
  checkedBackup,
  checkedKey,
  Fault,
  isVersion,
  shownId,
} from './checked.js';
import { KeysChecksum } from './checksum.js';
import { keysPassedOver } from './passed-over.js';
import type {
  OpenSourceUser,
  SourceBackup,
  SourceKey,
  SourceUser,
  TransferKey,
} from './transfer.js';
import type { UserLedger } from './user-ledger.js';
import type { LockedBackup } from '../storage/locked-backup.js';
import type { StoredRank } from '../storage/stored-ranks.js';
import type { StagedKeySet } from '../storage/staged-key-set.js';
import type { RoomKeysRepository } from '../storage/room-keys.repository.js';

/** Up to so many changes are written one by one; more, and the keys are written anew beside the old ones. */
const FEW_KEYS = 2000;
const FEW_BYTES = 4 * 1024 * 1024;

/** A backup of the source beside the one of the same version that is stored. */
interface Pair {
  backup: CheckedBackup;
  ours: TargetBackup;
}

/** How the keys of a pair differ. */
interface Comparison {
  /** Of the source's keys. */
  checksum: KeysChecksum;
  /** Keys of the source that are not stored. */
  missing: TransferKey[];
  /** Keys that are stored with another rank or other data. */
  different: TransferKey[];
  /** Whether there are more of both than are kept in memory. */
  many: boolean;
  /** Whether keys are stored that the source does not have. */
  surplus: boolean;
}

/**
 * Takes over one user. It first looks and decides, and puts new keys where nobody reads them; then
 * gives them to their backups, all at once; last come the changes within backups.
 */
export class UserImport {
  private readonly userId: string;
  private readonly staged: StagedKeySet[] = [];
  private readonly attaching: StagedBackup[] = [];
  private readonly afterwards: (() => Promise<void>)[] = [];
  /** Versions that could not be taken, and that were not deleted here. */
  private readonly withheld = new Set<number>();
  /** Whether a version stays as if it had never been heard of. */
  private leavesOpen = false;

  constructor(
    private readonly storage: ImportRepository,
    private readonly repository: RoomKeysRepository,
    private readonly reading: OpenSourceUser,
    private readonly ledger: UserLedger,
    private readonly options: {
      changedOnly?: boolean | undefined;
      signal?: AbortSignal | undefined;
    },
  ) {
    this.userId = reading.user.userId;
  }

  /** @throws ChangedMeanwhile where a client has changed the user: to be begun again */
  async run(): Promise<void> {
    const { backups, lastVersion } = this.reading.user;
    const target = (await this.storage.users([this.userId])).get(this.userId);
    const keepsOwn = hasOwnCurrent(this.reading.user, target);
    for (const ours of target?.backups ?? []) this.followUntold(ours);
    for (const version of target?.withheld ?? []) {
      if (!this.isUntold(version)) this.withheld.add(version);
    }
    for (const source of backups) {
      const same = backups.filter(({ version }) => version === source.version);
      if (same.length > 1) {
        // a unique index that is broken lets it in, and the keys name nothing but the version
        this.refuse('backup', source, 'The source has the version more than once.');
        if (!same.every(({ deleted }) => deleted)) {
          this.withhold(source.version, target, keepsOwn);
        }
        continue;
      }
      const ours = target?.backups.find(({ version }) => version === source.version);
      if (source.deleted) {
        if (ours) this.followDeletion(source, ours);
        this.withheld.delete(Number(source.version));
        continue;
      }
      const backup = await this.readable(source);
      if (!backup) this.withhold(source.version, target, keepsOwn);
      else if (ours) await this.compareAndDecide({ backup, ours });
      else if (wasDeletedHere(backup.version, target)) {
        this.issue('deleted-here', backup, 'The backup was deleted here, and stays so.');
      } else if (keepsOwn && !this.withheld.has(backup.version)) {
        this.leavesOpen = true;
        this.refuse(
          'superseding',
          backup,
          `The user has made backup ${target?.currentVersion} here, which this newer one would take the place of.`,
        );
      } else if (await this.stage(backup, 'created')) this.withheld.delete(backup.version);
      else this.withhold(backup.version, target, keepsOwn);
    }
    // what is left open must not look as if it had been deleted here the next time
    const last = this.leavesOpen ? 0 : lastVersion;
    const withheld = [...this.withheld].sort((one, other) => one - other);
    const isAsBefore = isDeepStrictEqual(withheld, target?.withheld ?? []);
    if (this.attaching.length > 0 || last > (target?.lastVersion ?? 0) || !isAsBefore) {
      this.options.signal?.throwIfAborted();
      await this.storage.attach(this.userId, target, last, this.attaching, withheld);
    }
    for (const work of this.afterwards) await work();
    if (withheld.length > 0) await this.tellOfSuperseded();
    // with `changedOnly` it is users that are counted
    if (!this.options.changedOnly) {
      this.ledger.passedOver(
        await keysPassedOver(this.reading, (version) => this.ledger.hasRead(version)),
      );
    }
  }

  /** Lets go of key sets that no backup took. */
  async discard(): Promise<void> {
    for (const keys of this.staged) await keys.discard().catch(() => undefined);
  }

  private async readable(source: SourceBackup): Promise<CheckedBackup | undefined> {
    let backup = checkedBackup(source);
    if (!(backup instanceof Fault) && !(await this.repository.fits(this.userId, backup.authData))) {
      backup = new Fault('auth_data is larger than the database takes.');
    }
    if (!(backup instanceof Fault)) return backup;
    this.refuse('backup', source, backup.message);
    return undefined;
  }

  /**
   * A version that could not be taken: that it has no backup here is no deletion. Where the user's own
   * backup is to stay the current one, it is left open instead, as one that would take its place.
   */
  private withhold(version: unknown, target: TargetUser | undefined, keepsOwn: boolean): void {
    if (!isVersion(version) || wasDeletedHere(version, target)) return;
    if (target?.backups.some((ours) => ours.version === version)) return;
    if (keepsOwn && !this.withheld.has(version)) this.leavesOpen = true;
    else this.withheld.add(version);
  }

  // --- decisions ------------------------------------------------------------------------------

  private async compareAndDecide({ backup, ours }: Pair): Promise<void> {
    const { ledger } = this;
    if (!isSameBackup(backup, ours)) {
      this.refuse('conflict', backup, 'Another backup has this version here, and stays.');
      return;
    }
    // a source that went back, such as an older file, is not followed
    const follows = isMirror(ours) && backup.etag >= ours.etag;
    const sameEtag = backup.etag === ours.etag;
    const sameFace = sameEtag && backup.authData === ours.authData;
    if (follows && sameFace && this.options.changedOnly) {
      ledger.outcome(backup.version, 'unchanged');
      return;
    }
    const count = await this.reading.count(backup.source);
    if (follows && backup.etag > ours.etag && count > ours.keyCount + FEW_KEYS) {
      await this.stage(backup, 'followed');
      return;
    }
    const found = await this.compare({ backup, ours });
    const isEqual = !found.surplus && found.missing.length === 0 && found.different.length === 0;
    // auth_data that was stored here stays: there is nothing to follow, and no key to merge
    if (isEqual && (sameFace || (sameEtag && !isMirror(ours)))) {
      ledger.outcome(backup.version, 'unchanged');
      ledger.verified(backup.version, found.checksum.count);
    } else if (!follows || (sameEtag && !isEqual)) {
      // the second: keys changed, and the source's etag did not tell
      this.afterwards.push(() => this.merge({ backup, ours }, found));
    } else if (found.many || found.surplus) {
      await this.stage(backup, 'followed');
    } else {
      this.afterwards.push(() => this.followInPlace({ backup, ours }, found));
    }
  }

  private followDeletion(source: SourceBackup, ours: TargetBackup): void {
    const backup = checkedBackup(source);
    if (backup instanceof Fault || isSameBackup(backup, ours)) this.deleteUnlessChanged(ours);
  }

  /** A backup that the source says nothing of: where it names all that there are, that one is deleted. */
  private followUntold(ours: TargetBackup): void {
    if (this.isUntold(ours.version)) this.deleteUnlessChanged(ours);
  }

  private isUntold(version: number): boolean {
    const { backups, lastVersion, restIsDeleted } = this.reading.user;
    if (!restIsDeleted || version > lastVersion) return false;
    return !backups.some((source) => source.version === version);
  }

  private deleteUnlessChanged(ours: TargetBackup): void {
    if (!isMirror(ours)) {
      this.issue(
        'changed-here',
        ours,
        'The backup was deleted in the source, but was changed here, and stays.',
      );
      return;
    }
    this.afterwards.push(async () => {
      await this.locked(ours, (backup) => backup.delete());
      this.ledger.outcome(ours.version, 'deleted');
    });
  }

  // --- ways to take keys over -----------------------------------------------------------------

  /**
   * Writes all keys where nobody reads them, reads them back, and leaves them to be attached.
   *
   * @returns whether what was read back is what was written
   */
  private async stage(backup: CheckedBackup, outcome: 'created' | 'followed'): Promise<boolean> {
    const keys = await this.storage.stage();
    this.staged.push(keys);
    const checksum = new KeysChecksum();
    for await (const page of this.pages(backup)) {
      checksum.add(page);
      await keys.add(page);
    }
    if (!(await this.checksumOf(keys.keySetId, keys.largestKey)).equals(checksum)) {
      this.refuse('verification', backup, 'What was stored is not what was read: it is not taken.');
      return false;
    }
    const { version, algorithm, authData, etag, source } = backup;
    const { createdAt, changedAt } = source;
    this.attaching.push({ version, algorithm, authData, etag, keys, createdAt, changedAt });
    // after it is attached
    this.afterwards.unshift(() => {
      this.ledger.outcome(version, outcome);
      this.ledger.written(checksum.count);
      this.ledger.verified(version, checksum.count);
      return Promise.resolve();
    });
    return true;
  }

  /** Few changes, in one transaction. */
  private async followInPlace({ backup, ours }: Pair, found: Comparison): Promise<void> {
    await this.locked(ours, async (locked) => {
      const ranks = await locked.ranks([...found.different, ...found.missing]);
      await this.add(locked, found.missing);
      const replacements = found.different.map((key, index) => {
        const stored = ranks[index];
        if (!stored) throw new ChangedMeanwhile();
        return { key, stored };
      });
      await this.replace(locked, replacements);
      await locked.mirror(backup);
    });
    this.ledger.outcome(backup.version, 'followed');
    this.ledger.written(found.missing.length + found.different.length);
    const now = await this.storage.users([this.userId]);
    const stored = now.get(this.userId)?.backups.find(({ version }) => version === ours.version);
    // clients go on: what they change is no mistake of ours
    if (!stored || !isMirror(stored)) return;
    const checksum = await this.checksumOf(stored.keySetId, stored.largestKey);
    if (checksum.equals(found.checksum)) this.ledger.verified(backup.version, checksum.count);
    else this.refuse('verification', backup, 'What is stored is not what was read.');
  }

  /** Takes what is missing or better, a page and a transaction at a time, as an upload would. */
  private async merge({ backup, ours }: Pair, found: Comparison): Promise<void> {
    const { userId } = this;
    const version = String(backup.version);
    let written = 0;
    if (found.missing.length > 0 || found.different.length > 0) {
      for await (const page of this.pages(backup)) {
        written += await this.repository.locked(userId, version, async ({ backup: locked }) => {
          if (!locked) throw new ChangedMeanwhile();
          const writes = selectWrites(page, await locked.ranks(page));
          if (isEmpty(writes)) return 0;
          const { inserts, updates } = writes;
          await this.add(locked, inserts);
          await this.replace(locked, updates);
          await locked.touch(backup.etag);
          return inserts.length + updates.length;
        });
      }
    }
    // clients may know the source's etag for other keys than these
    const { etag, isChanged } = await this.repository.locked(
      userId,
      version,
      async ({ backup: locked }) => {
        if (!locked) throw new ChangedMeanwhile();
        const before = Number(locked.state.etag);
        if (written > 0 || before > backup.etag) return { etag: before, isChanged: written > 0 };
        return { etag: Number((await locked.touch(backup.etag)).etag), isChanged: true };
      },
    );
    this.ledger.outcome(backup.version, isChanged ? 'merged' : 'unchanged');
    this.ledger.written(written);
    await this.verifyMerged({ backup, ours }, etag);
  }

  /** Whether no key of the source is missing, and none is better than the one that is stored. */
  private async verifyMerged({ backup, ours }: Pair, etag: number): Promise<void> {
    let read = 0;
    let count = 0;
    for await (const page of this.pages(backup)) {
      read += page.length;
      const stored = await this.storage.stored(ours.keySetId, page);
      page.forEach((key, index) => {
        const one = stored[index];
        if (one && !isBetter(key, one)) count += 1;
      });
    }
    // clients go on: what they delete meanwhile is no mistake of ours
    const now = (await this.storage.users([this.userId])).get(this.userId);
    const stored = now?.backups.find(({ version }) => version === ours.version);
    if (count === read) this.ledger.verified(backup.version, count);
    else if (stored?.etag === etag) {
      this.refuse(
        'verification',
        backup,
        `${read - count} keys are missing, or worse than those read.`,
      );
    }
  }

  private async add(locked: LockedBackup, keys: readonly TransferKey[]): Promise<void> {
    for (const [deviceId, some] of grouped(keys, (key) => key.deviceId)) {
      await locked.add(some, deviceId);
    }
  }

  private async replace(
    locked: LockedBackup,
    keys: readonly { key: TransferKey; stored: StoredRank }[],
  ): Promise<void> {
    for (const [deviceId, some] of grouped(keys, ({ key }) => key.deviceId)) {
      await locked.replace(some, deviceId);
    }
  }

  private locked(ours: TargetBackup, work: (backup: LockedBackup) => Promise<unknown>) {
    return this.repository.locked(this.userId, String(ours.version), async ({ backup }) => {
      if (!backup?.isMirror || Number(backup.state.etag) !== ours.etag)
        throw new ChangedMeanwhile();
      await work(backup);
    });
  }

  // --- reading --------------------------------------------------------------------------------

  private async compare({ backup, ours }: Pair): Promise<Comparison> {
    const checksum = new KeysChecksum();
    const missing: TransferKey[] = [];
    const different: TransferKey[] = [];
    let missingCount = 0;
    let kept = 0;
    let many = false;
    const keep = (list: TransferKey[], key: TransferKey) => {
      kept += key.sessionData.length;
      many ||= missing.length + different.length >= FEW_KEYS || kept > FEW_BYTES;
      // one is enough to know that there is something to do
      if (!many || list.length === 0) list.push(key);
    };
    for await (const page of this.pages(backup)) {
      checksum.add(page);
      const stored = await this.storage.stored(ours.keySetId, page);
      page.forEach((key, index) => {
        const one = stored[index];
        if (!one) {
          missingCount += 1;
          keep(missing, key);
        } else if (!isSameKey(key, one)) keep(different, key);
      });
    }
    const surplus = ours.keyCount > checksum.count - missingCount;
    return { checksum, missing, different, many, surplus };
  }

  /** The keys of a backup that can be taken, page by page; tells of those that cannot. */
  private async *pages(backup: CheckedBackup): AsyncGenerator<TransferKey[]> {
    const tell = this.ledger.reading(backup.version);
    let read = 0;
    for await (const page of this.reading.keys(backup.source)) {
      this.options.signal?.throwIfAborted();
      const keys: TransferKey[] = [];
      for (const source of page) {
        const key = await this.takable(source);
        if (key instanceof Fault) {
          tell.key({ code: 'key', message: key.message, ...this.placeOf(backup, source) });
          continue;
        }
        const before = keys.at(-1);
        if (before?.roomId !== key.roomId || before.sessionId !== key.sessionId) {
          keys.push(key);
          continue;
        }
        // a unique index that is broken lets it in; in the order of the ids both come one after the other
        if (isBetter(key, before)) keys[keys.length - 1] = key;
        const message = 'The source has the key more than once: the better one is taken.';
        tell.key({ code: 'key', message, ...this.placeOf(backup, source) });
      }
      read += page.length;
      tell.page(page.length);
      yield keys;
    }
    const count = await this.reading.count(backup.source);
    if (read !== count) {
      this.issue('unread', backup, `The source counts ${count} keys, and gave ${read}.`);
    }
  }

  private async takable(source: SourceKey): Promise<TransferKey | Fault> {
    const key = checkedKey(source);
    if (key instanceof Fault || (await this.repository.fits(this.userId, key.sessionData)))
      return key;
    return new Fault('session_data is larger than the database takes.');
  }

  private placeOf({ version }: CheckedBackup, { room_id, session_id }: SourceKey) {
    return {
      userId: this.userId,
      version: String(version),
      roomId: shownId(room_id),
      sessionId: shownId(session_id),
    };
  }

  private async checksumOf(keySetId: number, largestKey: number): Promise<KeysChecksum> {
    const checksum = new KeysChecksum();
    for await (const page of this.storage.keysOf(keySetId, largestKey)) checksum.add(page);
    return checksum;
  }

  // --- telling --------------------------------------------------------------------------------

  private async tellOfSuperseded(): Promise<void> {
    const now = (await this.storage.users([this.userId])).get(this.userId);
    const newest = now?.backups.at(-1);
    if (!newest || now?.currentVersion !== undefined) return;
    this.issue(
      'superseded',
      newest,
      `Version ${now?.withheld.at(-1)}, which is newer, was not taken: until it is, or the user makes a new backup, the user has no current one.`,
    );
  }

  private issue(
    code: Parameters<UserLedger['issue']>[0],
    { version }: { version: unknown },
    message: string,
  ): void {
    this.ledger.issue(code, message, this.userId, version);
  }

  private refuse(
    code: Parameters<UserLedger['issue']>[0],
    backup: { version: unknown },
    message: string,
  ): void {
    this.issue(code, backup, message);
    this.ledger.outcome(Number(backup.version), 'refused');
  }
}

/** Whether a version was here, and is no more. */
const wasDeletedHere = (version: number, target: TargetUser | undefined): boolean =>
  target !== undefined &&
  version <= target.lastVersion &&
  !target.withheld.includes(version) &&
  !target.backups.some((ours) => ours.version === version);

/**
 * Whether two are one backup: by the public key that its keys are encrypted to, or where there is
 * none, by all of `auth_data`, which devices otherwise sign anew.
 */
function isSameBackup(one: Described, other: Described): boolean {
  if (one.algorithm !== other.algorithm) return false;
  const [data, otherData] = [one, other].map(
    ({ authData }) => JSON.parse(authData) as { public_key?: unknown },
  );
  const publicKey = data?.public_key;
  if (typeof publicKey === 'string' && typeof otherData?.public_key === 'string') {
    return publicKey === otherData.public_key;
  }
  return isDeepStrictEqual(data, otherData);
}

type Described = Pick<CheckedBackup, 'algorithm' | 'authData'>;

/** Whether the user's current backup was made here, or has gone on here after the source deleted it. */
function hasOwnCurrent(
  { backups, lastVersion, restIsDeleted }: SourceUser,
  target: TargetUser | undefined,
): boolean {
  const current = target?.backups.find(({ version }) => version === target.currentVersion);
  if (!current) return false;
  const source = backups.find(({ version }) => version === current.version);
  if (!source) return !(restIsDeleted && current.version <= lastVersion && isMirror(current));
  if (source.deleted) return !isMirror(current);
  const backup = checkedBackup(source);
  return backup instanceof Fault || !isSameBackup(backup, current);
}

const isSameKey = (
  key: TransferKey,
  stored: Pick<TransferKey, 'isVerified' | 'firstMessageIndex' | 'forwardedCount' | 'sessionData'>,
) =>
  key.isVerified === stored.isVerified &&
  key.firstMessageIndex === stored.firstMessageIndex &&
  key.forwardedCount === stored.forwardedCount &&
  key.sessionData === stored.sessionData;

function grouped<T, G>(all: readonly T[], groupOf: (one: T) => G): Map<G, T[]> {
  const groups = new Map<G, T[]>();
  for (const one of all) {
    const group = groups.get(groupOf(one));
    if (group) group.push(one);
    else groups.set(groupOf(one), [one]);
  }
  return groups;
}
