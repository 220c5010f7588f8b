import { Inject, Injectable } from '@nestjs/common';
import { Limits } from './limits.js';
import { observerOf } from './observer.js';
import type {
  Activity,
  Backup,
  BackupInformation,
  KeyId,
  KeySelection,
  KeysState,
  RoomKey,
  UserSummary,
} from './room-key.js';
import {
  algorithmMismatch,
  emptyAlgorithm,
  noCurrentBackup,
  tooLarge,
  unknownBackup,
  unknownKey,
  unsupportedAlgorithm,
  wrongVersion,
} from './room-keys.errors.js';
import { isEmpty, selectWrites, type Writes } from './replacement.js';
import type { RoomKeysBackupEvent } from './room-keys.events.js';
import { ROOM_KEYS_OPTIONS } from './room-keys.tokens.js';
import type { RoomKeysOptions } from './room-keys-options.interface.js';
import {
  checkDeviceId,
  validateInformation,
  validateKeys,
  checkKeyId,
  checkSelection,
  checkUserId,
  checkVersion,
} from './service-arguments.js';
import type { KeyPages } from './storage/key-pages.js';
import { RetiredKeysSweeper } from './storage/retired-keys.sweeper.js';
import type { LockedBackup } from './storage/locked-backup.js';
import type { StoredRank } from './storage/stored-ranks.js';
import type { HostTransaction } from './storage/database/host-transaction.js';
import type { LockedUser } from './storage/locked-user.js';
import { type Joining, RoomKeysRepository } from './storage/room-keys.repository.js';
import { StatisticsRepository } from './storage/statistics.repository.js';

/** The contract's one algorithm; the configuration can add more. */
export const MEGOLM_BACKUP_V1 = 'm.megolm_backup.v1.curve25519-aes-sha2';

/**
 * The use cases of the key backup: five on versions, three on keys. A host may call them itself;
 * `userId` is then to come from an access token that was checked. Arguments that the endpoints would not take are
 * refused with their errors: 400 `M_INVALID_PARAM` for ids, `M_BAD_JSON` and `M_NOT_JSON` for what is to be stored.
 *
 * @publicApi
 */
@Injectable()
export class RoomKeysService {
  private readonly algorithms: readonly string[] | '*';
  private readonly limits: Limits;
  private readonly observe;

  constructor(
    private readonly repository: RoomKeysRepository,
    private readonly statistics: StatisticsRepository,
    private readonly sweeper: RetiredKeysSweeper,
    @Inject(ROOM_KEYS_OPTIONS)
    options: Pick<RoomKeysOptions, 'allowedAlgorithms' | 'limits' | 'observe'>,
  ) {
    const { allowedAlgorithms = [], limits } = options;
    this.limits = new Limits(limits);
    this.observe = observerOf(options);
    this.algorithms =
      allowedAlgorithms === '*' ? '*' : [...new Set([MEGOLM_BACKUP_V1, ...allowedAlgorithms])];
  }

  /**
   * Creates a backup, which is the user's current one from then on.
   *
   * @param deviceId the device that creates it, for the history
   * @returns its version id
   * @throws 400 `M_INVALID_PARAM` where the server is not configured for its algorithm, or that is empty;
   *   413 `M_TOO_LARGE`, 403 `M_USER_LIMIT_EXCEEDED` over a limit
   */
  async createBackup(
    userId: string,
    given: BackupInformation,
    deviceId?: string | null,
  ): Promise<string> {
    checkUserId(userId);
    checkDeviceId(deviceId);
    const information = validateInformation(given);
    if (this.algorithms !== '*' && !this.algorithms.includes(information.algorithm)) {
      throw unsupportedAlgorithm(this.algorithms);
    }
    if (information.algorithm === '') throw emptyAlgorithm();
    this.limits.checkAuthData(information.authData);
    await this.checkFits(userId, 'auth_data', information.authData);
    const version = await this.repository.createBackup(
      userId,
      information,
      this.limits.countsBackups
        ? (others) => {
            this.limits.checkBackups(others + 1);
          }
        : undefined,
      deviceId,
    );
    this.changed({ what: 'created', version, count: 0, etag: '0' });
    return version;
  }

  /**
   * The user's newest backup that is not deleted.
   *
   * @throws 404 `M_NOT_FOUND` where there is none
   */
  async currentBackup(userId: string): Promise<Backup> {
    checkUserId(userId);
    return (await this.repository.currentBackup(userId)) ?? raise(noCurrentBackup());
  }

  /** @throws 404 `M_NOT_FOUND` where it does not exist, or is deleted */
  async backup(userId: string, version: string): Promise<Backup> {
    checkOwner(userId, version);
    return (await this.repository.backup(userId, version)) ?? raise(unknownBackup());
  }

  /**
   * Replaces the `auth_data` of any backup that is not deleted; count and etag stay.
   *
   * @param deviceId the device that does so, for the history
   * @throws 404 `M_NOT_FOUND`; 400 `M_INVALID_PARAM` where the algorithm is not the backup's own; 413
   *   `M_TOO_LARGE`
   */
  async updateBackup(
    userId: string,
    version: string,
    information: BackupInformation,
    deviceId?: string | null,
  ): Promise<void> {
    checkOwner(userId, version);
    checkDeviceId(deviceId);
    const { algorithm, authData } = validateInformation(information);
    this.limits.checkAuthData(authData);
    await this.checkFits(userId, 'auth_data', authData);
    const state = await this.repository.locked(userId, version, async ({ backup, remember }) => {
      if (!backup) throw unknownBackup();
      if (backup.algorithm !== algorithm) throw algorithmMismatch();
      await backup.updateAuthData(authData);
      await remember({ what: 'auth_data', deviceId });
      return backup.state;
    });
    this.changed({ what: 'auth_data', version, ...state });
  }

  /**
   * Deletes a backup and its keys, at once for every reader; the newest of those that are left is
   * then the current one. To delete it again changes nothing. With `keepDeletedDays`, an operator can restore it.
   *
   * @param transaction of the host's, to be part of: it takes effect when the host commits. Null says that the caller is
   *   in none. On SQLite, whose only connection a transaction of the host's holds, the call waits for its turn then; without
   *   either it gives up after a second.
   * @param deviceId the device that deletes it, for the history
   * @throws 404 `M_NOT_FOUND` where it never existed; `RoomKeysTransactionConflictError` where the host's transaction is to
   *   be rolled back
   */
  async deleteBackup(
    userId: string,
    version: string,
    transaction?: HostTransaction | null,
    deviceId?: string | null,
  ): Promise<void> {
    checkOwner(userId, version);
    checkDeviceId(deviceId);
    const work = async ({ everExisted, backup, deleteVersion, remember }: LockedUser) => {
      if (!everExisted) throw unknownBackup();
      await deleteVersion();
      await remember({ what: 'deleted', deviceId });
      return backup?.state;
    };
    await this.removing(
      transaction,
      (joining) => this.repository.locked(userId, version, work, joining),
      (state) => state && { what: 'deleted', version, ...state },
    );
  }

  /**
   * Stores keys in the current backup, each unless the stored one of the same ids is to stay. All
   * or, where it throws, none of them.
   *
   * @param keys at most 20,000, no two of them with the same ids
   * @param deviceId the device that sends them
   * @throws 403 `M_WRONG_ROOM_KEYS_VERSION` where a newer backup exists; 404 `M_NOT_FOUND`; 413
   *   `M_TOO_LARGE`, 403 `M_USER_LIMIT_EXCEEDED` over a limit
   */
  async putKeys(
    userId: string,
    version: string,
    keys: readonly RoomKey[],
    deviceId?: string | null,
  ): Promise<KeysState> {
    checkOwner(userId, version);
    checkDeviceId(deviceId);
    return this.putValidatedKeys(userId, version, validateKeys(keys), deviceId);
  }

  /**
   * As {@link putKeys}, with arguments that an endpoint has read and checked.
   *
   * @internal
   */
  async putValidatedKeys(
    userId: string,
    version: string,
    keys: readonly RoomKey[],
    deviceId?: string | null,
  ): Promise<KeysState> {
    for (const { sessionData } of keys) {
      this.limits.checkSessionData(sessionData);
      await this.checkFits(userId, 'session_data', sessionData);
    }
    const { state, added, replaced } = await this.store(
      userId,
      version,
      keys,
      deviceId ?? undefined,
    );
    this.observe?.({ type: 'keys', added, replaced, kept: keys.length - added - replaced });
    return state;
  }

  private async store(
    userId: string,
    version: string,
    keys: readonly RoomKey[],
    deviceId: string | undefined,
  ): Promise<{ state: KeysState; added: number; replaced: number }> {
    // Without a lock first: where nothing is to be written, as when an upload is sent again, that is
    // the answer; and where something is, it is mostly still true under the lock.
    const snapshot = await this.repository.readForUpload(userId, version, keys);
    const mayBeAnswer = snapshot?.isConfirmed && snapshot.isCurrent;
    if (mayBeAnswer && isEmpty(selectWrites(keys, snapshot.ranks))) {
      return { state: snapshot.state, added: 0, replaced: 0 };
    }
    let mayHold = snapshot;
    return this.repository.locked(userId, version, async ({ backup, currentVersion }) => {
      if (!backup || currentVersion === undefined) throw unknownBackup();
      if (backup.version !== currentVersion) {
        throw wrongVersion(currentVersion);
      }
      const writes = selectWrites(keys, await backup.ranks(keys, mayHold));
      // if the database gives this up, something is not as it was seen
      mayHold = undefined;
      if (isEmpty(writes)) {
        return { state: backup.state, added: 0, replaced: 0 };
      }
      await this.checkGrowth(backup, writes);
      const { inserts, updates } = writes;
      await backup.add(inserts, deviceId);
      await backup.replace(updates, deviceId);
      return { state: await backup.touch(), added: inserts.length, replaced: updates.length };
    });
  }

  /**
   * Reads the keys of a backup, or of one of its rooms, a page at a time, in one consistent snapshot as long as they
   * are read fast or no other restore waits. One that gives its snapshot up returns each key as it was at some moment
   * since it began; keys that are added meanwhile may be left out. The caller closes what it is given, also when it
   * does not read to the end.
   *
   * @throws 404 `M_NOT_FOUND` where there is no such backup
   */
  async keys(userId: string, version: string, selection: KeySelection = {}): Promise<KeyPages> {
    checkOwner(userId, version);
    checkSelection(selection);
    return (await this.repository.keys(userId, version, selection)) ?? raise(unknownBackup());
  }

  /** @throws 404 `M_NOT_FOUND` where there is no such backup, or no such key in it */
  async key(userId: string, version: string, id: KeyId): Promise<RoomKey> {
    checkOwner(userId, version);
    checkKeyId(id);
    const key = await this.repository.key(userId, version, id);
    if (key === undefined) throw unknownBackup();
    return key ?? raise(unknownKey());
  }

  /**
   * Deletes all keys of a backup, those of a room, or one; nothing to delete is no error. With `keepDeletedDays`, an
   * operator can restore them.
   *
   * @param transaction of the host's, to be part of: see {@link deleteBackup}
   * @param deviceId the device that deletes them, for the history, which does not have single keys
   * @throws 404 `M_NOT_FOUND` where there is no such backup
   */
  async deleteKeys(
    userId: string,
    version: string,
    selection: KeySelection = {},
    transaction?: HostTransaction | null,
    deviceId?: string | null,
  ): Promise<KeysState> {
    checkOwner(userId, version);
    checkSelection(selection);
    checkDeviceId(deviceId);
    const isOneKey = selection.sessionId !== undefined;
    const work = async ({ backup, remember }: LockedUser) => {
      if (!backup) throw unknownBackup();
      const before = backup.state;
      if (!(await backup.remove(selection))) return { state: before, count: 0 };
      const state = await backup.touch();
      const count = before.count - state.count;
      if (!isOneKey) await remember({ what: 'keys_deleted', deviceId, count });
      return { state, count };
    };
    const { state } = await this.removing(
      transaction,
      (joining) => this.repository.locked(userId, version, work, joining),
      ({ state: { etag }, count }) =>
        isOneKey || count === 0 ? undefined : { what: 'keys_deleted', version, count, etag },
      !isOneKey,
    );
    return state;
  }

  /**
   * Deletes all backups and keys of a user, at once for every reader; for the deactivation of an
   * account. Only the number of the last version stays, so that none is given out twice, and the history says that
   * the user was erased. What deletions keep goes too. To erase a user again, or one who never had a backup, changes
   * nothing.
   *
   * @param transaction of the host's, to be part of: see {@link deleteBackup}
   */
  async eraseUser(userId: string, transaction?: HostTransaction | null): Promise<void> {
    checkUserId(userId);
    await this.removing(
      transaction,
      (joining) => this.repository.eraseUser(userId, joining),
      ({ backups, keys, kept }) =>
        backups + kept > 0 ? { what: 'erased', count: keys } : undefined,
    );
  }

  /** Tells what is stored of a user; it reads all of the user's keys to find the devices. */
  async summary(userId: string): Promise<UserSummary> {
    checkUserId(userId);
    return this.statistics.summary(userId);
  }

  /** What is under way and what waits in this process; no statement. */
  activity(): Activity {
    return this.repository.activity();
  }

  /**
   * Removes something, as part of a transaction of the host's where there is one; when it is committed, it is reported,
   * and the sweeper looks for work.
   *
   * @param changeOf what is to be reported of the result, undefined for nothing
   * @param leavesRows whether there is something for the sweeper
   */
  private async removing<T>(
    transaction: HostTransaction | null | undefined,
    work: (joining: Joining | undefined) => Promise<T>,
    changeOf: (result: T) => Omit<RoomKeysBackupEvent, 'type'> | undefined,
    leavesRows = true,
  ): Promise<T> {
    let change: ReturnType<typeof changeOf> = undefined;
    const onCommit = () => {
      if (leavesRows) this.sweeper.wake();
      if (change) this.changed(change);
    };
    if (transaction === undefined) await this.repository.outsideOfHost();
    const result = await work(transaction ? { transaction, onCommit } : undefined);
    change = changeOf(result);
    if (!transaction) onCommit();
    return result;
  }

  private changed(change: Omit<RoomKeysBackupEvent, 'type'>): void {
    this.observe?.({ type: 'backup', ...change });
  }

  /** Replacing is always allowed where it takes no more room. */
  private async checkGrowth(
    backup: LockedBackup,
    { inserts, updates }: Writes<RoomKey, StoredRank>,
  ): Promise<void> {
    if (inserts.length > 0) this.limits.checkKeys(backup.state.count + inserts.length);
    if (!this.limits.countsBytes) return;
    const growth =
      sum(inserts.map(({ sessionData }) => sessionData.length)) +
      sum(updates.map(({ key, stored }) => key.sessionData.length - stored.row.bytes));
    if (growth > 0) this.limits.checkBytes((await backup.bytesOfUser()) + growth);
  }

  private async checkFits(userId: string, field: string, json: string): Promise<void> {
    if (!(await this.repository.fits(userId, json))) {
      throw tooLarge(`${field} is larger than the database takes.`);
    }
  }
}

function checkOwner(userId: string, version: string): void {
  checkUserId(userId);
  checkVersion(version);
}

const sum = (numbers: number[]) => numbers.reduce((total, one) => total + one, 0);

function raise(error: Error): never {
  throw error;
}
