import { Inject, Injectable } from '@nestjs/common';
import { KeyUpload, Limits } from './key-upload.js';
import { observerOf } from './observer.js';
import { Removals } from './removals.js';
import type {
  Activity,
  Backup,
  BackupInformation,
  KeyId,
  KeySelection,
  KeysState,
  RoomKey,
} from './room-key.js';
import {
  algorithmMismatch,
  emptyAlgorithm,
  noCurrentBackup,
  unknownBackup,
  unknownKey,
  unsupportedAlgorithm,
} from './room-keys.errors.js';
import { ROOM_KEYS_OPTIONS, type RoomKeysOptions } from './room-keys-options.interface.js';
import {
  checkDeviceId,
  checkKeyId,
  checkOwner,
  checkSelection,
  checkUserId,
  validateInformation,
  validateKeys,
} from './service-arguments.js';
import type { HostTransaction } from './storage/database/host-transaction.js';
import type { KeyPages } from './storage/key-pages.js';
import { RoomKeysRepository } from './storage/room-keys.repository.js';

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
  private readonly upload: KeyUpload;

  constructor(
    private readonly repository: RoomKeysRepository,
    private readonly removals: Removals,
    @Inject(ROOM_KEYS_OPTIONS)
    options: Pick<RoomKeysOptions, 'allowedAlgorithms' | 'limits' | 'observe'>,
  ) {
    const { allowedAlgorithms = [], limits } = options;
    this.limits = new Limits(limits, repository);
    this.observe = observerOf(options);
    this.upload = new KeyUpload(repository, this.limits, this.observe);
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
    await this.limits.checkAuthData(userId, information.authData);
    const version = await this.repository.createBackup(
      userId,
      information,
      this.limits.checkBackups,
      deviceId,
    );
    this.observe?.({ type: 'backup', what: 'created', version, count: 0, etag: '0' });
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
    checkOwner(userId, version, deviceId);
    const { algorithm, authData } = validateInformation(information);
    await this.limits.checkAuthData(userId, authData);
    const state = await this.repository.locked(userId, version, async ({ backup, remember }) => {
      if (!backup) throw unknownBackup();
      if (backup.algorithm !== algorithm) throw algorithmMismatch();
      await backup.updateAuthData(authData);
      await remember({ what: 'auth_data', deviceId });
      return backup.state;
    });
    this.observe?.({ type: 'backup', what: 'auth_data', version, ...state });
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
    checkOwner(userId, version, deviceId);
    await this.removals.backup(userId, version, transaction, deviceId);
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
    checkOwner(userId, version, deviceId);
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
    return this.upload.store(userId, version, keys, deviceId ?? undefined);
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
    checkOwner(userId, version, deviceId);
    checkSelection(selection);
    return this.removals.keys(userId, version, selection, transaction, deviceId);
  }

  /** Running and waiting operations of this process; no statement. */
  activity(): Activity {
    return this.repository.activity();
  }
}

function raise(error: Error): never {
  throw error;
}
