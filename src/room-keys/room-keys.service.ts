import { Inject, Injectable } from '@nestjs/common';
import { isBetter } from './replacement.js';
import type {
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
  noCurrentBackup,
  tooLarge,
  unknownBackup,
  unknownKey,
  unsupportedAlgorithm,
  wrongVersion,
} from './room-keys.errors.js';
import { ROOM_KEYS_OPTIONS } from './room-keys.module-definition.js';
import type { RoomKeysOptions } from './room-keys-options.interface.js';
import type { KeyPages } from './storage/key-pages.js';
import { RetiredKeysSweeper } from './storage/retired-keys.sweeper.js';
import {
  type LockedBackup,
  RoomKeysRepository,
  type StoredRank,
} from './storage/room-keys.repository.js';

/** The contract's one algorithm; the configuration can add more. */
export const MEGOLM_BACKUP_V1 = 'm.megolm_backup.v1.curve25519-aes-sha2';

/**
 * The use cases of the key backup: five on versions, three on keys. A host may call them itself;
 * `userId` is then to come from an access token that was checked, and ids are to be as the
 * endpoints would take them.
 *
 * @publicApi
 */
@Injectable()
export class RoomKeysService {
  private readonly algorithms: readonly string[] | '*';

  constructor(
    private readonly repository: RoomKeysRepository,
    private readonly sweeper: RetiredKeysSweeper,
    @Inject(ROOM_KEYS_OPTIONS) options: Pick<RoomKeysOptions, 'allowedAlgorithms'>,
  ) {
    const { allowedAlgorithms = [] } = options;
    this.algorithms =
      allowedAlgorithms === '*' ? '*' : [...new Set([MEGOLM_BACKUP_V1, ...allowedAlgorithms])];
  }

  /**
   * Creates a backup, which is the user's current one from then on.
   *
   * @returns its version id
   * @throws 400 `M_INVALID_PARAM` where the server is not configured for its algorithm
   */
  async createBackup(userId: string, information: BackupInformation): Promise<string> {
    if (this.algorithms !== '*' && !this.algorithms.includes(information.algorithm)) {
      throw unsupportedAlgorithm(this.algorithms);
    }
    await this.checkFits('auth_data', information.authData);
    return this.repository.createBackup(userId, information);
  }

  /**
   * The user's newest backup that is not deleted.
   *
   * @throws 404 `M_NOT_FOUND` where there is none
   */
  async currentBackup(userId: string): Promise<Backup> {
    return (await this.repository.currentBackup(userId)) ?? raise(noCurrentBackup());
  }

  /** @throws 404 `M_NOT_FOUND` where it does not exist, or is deleted */
  async backup(userId: string, version: string): Promise<Backup> {
    return (await this.repository.backup(userId, version)) ?? raise(unknownBackup());
  }

  /**
   * Replaces the `auth_data` of any backup that is not deleted; count and etag stay.
   *
   * @throws 404 `M_NOT_FOUND`; 400 `M_INVALID_PARAM` where the algorithm is not the backup's own
   */
  async updateBackup(
    userId: string,
    version: string,
    { algorithm, authData }: BackupInformation,
  ): Promise<void> {
    await this.checkFits('auth_data', authData);
    await this.repository.locked(userId, version, async ({ backup }) => {
      if (!backup) throw unknownBackup();
      if (backup.algorithm !== algorithm) throw algorithmMismatch();
      await backup.updateAuthData(authData);
    });
  }

  /**
   * Deletes a backup and its keys, at once for every reader; the newest of those that are left is
   * then the current one. To delete it again changes nothing.
   *
   * @throws 404 `M_NOT_FOUND` where it never existed
   */
  async deleteBackup(userId: string, version: string): Promise<void> {
    await this.repository.locked(userId, version, async ({ backup, everExisted }) => {
      if (!everExisted) throw unknownBackup();
      await backup?.delete();
    });
    this.sweeper.wake();
  }

  /**
   * Stores keys in the current backup, each unless the stored one of the same ids is to stay. All
   * or, where it throws, none of them.
   *
   * @param keys no two of them with the same ids
   * @param deviceId the device that sends them
   * @throws 403 `M_WRONG_ROOM_KEYS_VERSION` where a newer backup exists; 404 `M_NOT_FOUND`
   */
  async putKeys(
    userId: string,
    version: string,
    keys: readonly RoomKey[],
    deviceId?: string,
  ): Promise<KeysState> {
    for (const { sessionData } of keys) await this.checkFits('session_data', sessionData);
    return this.repository.locked(userId, version, async ({ backup, currentVersion }) => {
      if (!backup) throw unknownBackup();
      if (currentVersion !== undefined && backup.version !== currentVersion) {
        throw wrongVersion(currentVersion);
      }
      const { added, better } = await weigh(keys, backup);
      if (added.length === 0 && better.length === 0) return backup.state;
      await backup.add(added, deviceId);
      await backup.replace(better, deviceId);
      return backup.touch();
    });
  }

  /**
   * Reads the keys of a backup, or of one of its rooms, as of one moment, a page at a time. The
   * caller closes what it is given, also when it does not read to the end.
   *
   * @throws 404 `M_NOT_FOUND` where there is no such backup
   */
  async keys(userId: string, version: string, selection: KeySelection = {}): Promise<KeyPages> {
    return (await this.repository.keys(userId, version, selection)) ?? raise(unknownBackup());
  }

  /** @throws 404 `M_NOT_FOUND` where there is no such backup, or no such key in it */
  async key(userId: string, version: string, id: KeyId): Promise<RoomKey> {
    const key = await this.repository.key(userId, version, id);
    if (key === undefined) throw unknownBackup();
    return key ?? raise(unknownKey());
  }

  /**
   * Deletes all keys of a backup, those of a room, or one; nothing to delete is no error.
   *
   * @throws 404 `M_NOT_FOUND` where there is no such backup
   */
  async deleteKeys(
    userId: string,
    version: string,
    selection: KeySelection = {},
  ): Promise<KeysState> {
    const state = await this.repository.locked(userId, version, async ({ backup }) => {
      if (!backup) throw unknownBackup();
      return (await backup.remove(selection)) ? backup.touch() : backup.state;
    });
    if (selection.roomId === undefined) this.sweeper.wake();
    return state;
  }

  /**
   * Deletes all backups and keys of a user, at once for every reader; for the deactivation of an
   * account. Only the number of the last version stays, so that none is given out twice. To erase
   * a user again, or one who never had a backup, changes nothing.
   */
  async eraseUser(userId: string): Promise<void> {
    await this.repository.eraseUser(userId);
    this.sweeper.wake();
  }

  /** Tells what is stored of a user; it reads all of the user's keys to find the devices. */
  async summary(userId: string): Promise<UserSummary> {
    const backups = await this.repository.summaries(userId);
    return {
      backups,
      count: sum(backups.map(({ count }) => count)),
      bytes: sum(backups.map(({ bytes }) => bytes)),
      firstChange: earliest(backups.map(({ createdAt }) => createdAt)),
      lastChange: latest(backups.map(({ changedAt }) => changedAt)),
    };
  }

  private async checkFits(field: string, json: string): Promise<void> {
    if (!(await this.repository.fits(json))) {
      throw tooLarge(`${field} is larger than the database takes.`);
    }
  }
}

/** Divides the keys of an upload into those that are new and those that are better than the stored one. */
async function weigh(keys: readonly RoomKey[], backup: LockedBackup) {
  const added: RoomKey[] = [];
  const better: { key: RoomKey; stored: StoredRank }[] = [];
  const ranks = await backup.ranks(keys);
  keys.forEach((key, index) => {
    const stored = ranks[index];
    if (!stored) added.push(key);
    else if (isBetter(key, stored)) better.push({ key, stored });
  });
  return { added, better };
}

const sum = (numbers: number[]) => numbers.reduce((total, one) => total + one, 0);
const earliest = (dates: Date[]) => dates.sort((a, b) => a.getTime() - b.getTime()).at(0);
const latest = (dates: Date[]) => dates.sort((a, b) => a.getTime() - b.getTime()).at(-1);

function raise(error: Error): never {
  throw error;
}
