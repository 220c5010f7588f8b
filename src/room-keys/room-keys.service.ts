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

/** The only algorithm of the specification; more can be configured. */
export const MEGOLM_BACKUP_V1 = 'm.megolm_backup.v1.curve25519-aes-sha2';

/**
 * The use cases of the key backup: five on versions, three on keys. A host may call them itself; `userId` must then
 * come from a verified access token. Invalid arguments are refused with the errors of the endpoints: 400
 * `M_INVALID_PARAM` for ids, `M_BAD_JSON` and `M_NOT_JSON` for data to be stored.
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
   * Creates a backup, which becomes the user's current one.
   *
   * @param deviceId the device that creates it, for the history
   * @returns its version id
   * @throws 400 `M_INVALID_PARAM` if the algorithm is empty, or the server is not configured for it;
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
   * @throws 404 `M_NOT_FOUND` if there is none
   */
  async currentBackup(userId: string): Promise<Backup> {
    checkUserId(userId);
    return (await this.repository.currentBackup(userId)) ?? raise(noCurrentBackup());
  }

  /** @throws 404 `M_NOT_FOUND` if it does not exist, or is deleted */
  async backup(userId: string, version: string): Promise<Backup> {
    checkOwner(userId, version);
    return (await this.repository.backup(userId, version)) ?? raise(unknownBackup());
  }

  /**
   * Replaces the `auth_data` of any backup that is not deleted; count and etag do not change.
   *
   * @param deviceId the device that replaces it, for the history
   * @throws 404 `M_NOT_FOUND`; 400 `M_INVALID_PARAM` if the algorithm is not that of the backup; 413
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
   * Deletes a backup and its keys, immediately for every reader; the newest remaining backup becomes the current one.
   * Deleting it again changes nothing. With `keepDeletedDays`, an operator can restore it.
   *
   * @param transaction a transaction of the host to join: the deletion takes effect when the host commits. Null means
   *   that the caller is not in a transaction. On SQLite, whose only connection a transaction of the host holds, the call
   *   then waits for its turn; if undefined, it gives up after a second.
   * @param deviceId the device that deletes it, for the history
   * @throws 404 `M_NOT_FOUND` if it never existed; `RoomKeysTransactionConflictError` if the host's transaction must be
   *   rolled back
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
   * Stores keys in the current backup, except those that are not better than the stored key with the
   * same ids. Atomic: if it throws, nothing is stored.
   *
   * @param keys at most 20,000, all with different ids
   * @param deviceId the device that sends them
   * @throws 403 `M_WRONG_ROOM_KEYS_VERSION` if a newer backup exists; 404 `M_NOT_FOUND`; 413
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
   * Like {@link putKeys}, with arguments that an endpoint has validated.
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
    // First without a lock: if there is nothing to write, as when an upload is repeated, that is the
    // answer; otherwise the ranks usually still hold under the lock.
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
      // if the database aborts this transaction, the snapshot may be outdated
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
   * Reads the keys of a backup, or of one of its rooms, page by page, in one consistent snapshot unless they are read
   * slowly while other restores wait. A restore that gives up its snapshot returns each key in a state that it had since
   * the restore began; keys added meanwhile may be missing. The caller must close the pages, even if it does not read
   * them all.
   *
   * @throws 404 `M_NOT_FOUND` if the backup does not exist
   */
  async keys(userId: string, version: string, selection: KeySelection = {}): Promise<KeyPages> {
    checkOwner(userId, version);
    checkSelection(selection);
    return (await this.repository.keys(userId, version, selection)) ?? raise(unknownBackup());
  }

  /** @throws 404 `M_NOT_FOUND` if the backup or the key does not exist */
  async key(userId: string, version: string, id: KeyId): Promise<RoomKey> {
    checkOwner(userId, version);
    checkKeyId(id);
    const key = await this.repository.key(userId, version, id);
    if (key === undefined) throw unknownBackup();
    return key ?? raise(unknownKey());
  }

  /**
   * Deletes all keys of a backup, those of a room, or one key; it succeeds if there are none. With `keepDeletedDays`, an
   * operator can restore them.
   *
   * @param transaction a transaction of the host to join: see {@link deleteBackup}
   * @param deviceId the device that deletes them, for the history, which does not contain deletions of single keys
   * @throws 404 `M_NOT_FOUND` if the backup does not exist
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
   * Deletes all backups and keys of a user, immediately for every reader; for the deactivation of an account. Only the
   * number of the last version stays, so that no version is reused, and an entry of the history that the user was
   * erased. Deleted data that could be restored is erased too. Erasing a user again, or one who never had a backup,
   * changes nothing.
   *
   * @param transaction a transaction of the host to join: see {@link deleteBackup}
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

  /** Summarizes what is stored for a user; reads all keys of the user to find the devices. */
  async summary(userId: string): Promise<UserSummary> {
    checkUserId(userId);
    return this.statistics.summary(userId);
  }

  /** Running and waiting operations of this process; no statement. */
  activity(): Activity {
    return this.repository.activity();
  }

  /**
   * Deletes something, in the transaction of the host if there is one; after the commit it is reported, and the sweeper
   * is woken.
   *
   * @param changeOf the change to report for a result, undefined for none
   * @param leavesRows whether rows are left to the sweeper
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

  /** Replacing keys is always allowed if it does not take up more space. */
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
