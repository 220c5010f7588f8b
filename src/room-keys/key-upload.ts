/** THE UPLOAD: what a `PUT` of keys writes, and the operator's limits on it. */
import { isEmpty, selectWrites, type Writes } from './replacement.js';
import type { KeysState, RoomKey } from './room-key.js';
import { tooLarge, unknownBackup, userLimitExceeded, wrongVersion } from './room-keys.errors.js';
import type { RoomKeysObserver } from './room-keys.events.js';
import type { RoomKeysLimits } from './room-keys-options.interface.js';
import type { LockedBackup } from './storage/locked-backup.js';
import type { RoomKeysRepository } from './storage/room-keys.repository.js';
import type { StoredRank } from './storage/stored-ranks.js';

/** Stores keys within the limits. */
export class KeyUpload {
  constructor(
    private readonly repository: RoomKeysRepository,
    private readonly limits: Limits,
    private readonly observe: RoomKeysObserver | undefined,
  ) {}

  /** See `RoomKeysService.putKeys`. */
  async store(
    userId: string,
    version: string,
    keys: readonly RoomKey[],
    deviceId: string | undefined,
  ): Promise<KeysState> {
    // once, for the longest: to wait for each of hundreds of keys took a twentieth of the time of an upload
    let longest = '';
    for (const { sessionData } of keys) {
      if (sessionData.length > longest.length) longest = sessionData;
    }
    await this.limits.checkSessionData(userId, longest);
    const { state, added, replaced } = await this.write(userId, version, keys, deviceId);
    this.observe?.({ type: 'keys', added, replaced, kept: keys.length - added - replaced });
    return state;
  }

  private async write(
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
      await this.limits.checkGrowth(backup, writes);
      const { inserts, updates } = writes;
      await backup.add(inserts, deviceId);
      await backup.replace(updates, deviceId);
      return { state: await backup.touch(), added: inserts.length, replaced: updates.length };
    });
  }
}

/** What a user may store: each method throws an error that names the limit. What is counted costs a statement. */
export class Limits {
  constructor(
    private readonly limits: RoomKeysLimits = {},
    private readonly database: Pick<RoomKeysRepository, 'fits'>,
  ) {}

  /** @throws 413 `M_TOO_LARGE` */
  async checkAuthData(userId: string, json: string): Promise<void> {
    await this.checkSize(userId, 'auth_data', json, this.limits.authDataBytes);
  }

  /** @throws 413 `M_TOO_LARGE` */
  async checkSessionData(userId: string, json: string): Promise<void> {
    await this.checkSize(userId, 'session_data', json, this.limits.sessionDataBytes);
  }

  /**
   * Checks whether a user with so many backups may create another one; undefined without a limit.
   *
   * @throws 403 `M_USER_LIMIT_EXCEEDED`
   */
  get checkBackups(): ((count: number) => void) | undefined {
    const { backupsPerUser } = this.limits;
    if (backupsPerUser === undefined) return undefined;
    return (count) => {
      this.checkUser(count + 1, backupsPerUser, 'backups of a user');
    };
  }

  /**
   * Replacing keys is always allowed if it does not take up more space.
   *
   * @throws 403 `M_USER_LIMIT_EXCEEDED` for too many keys in the backup, or bytes of the user
   */
  async checkGrowth(
    backup: LockedBackup,
    { inserts, updates }: Writes<RoomKey, StoredRank>,
  ): Promise<void> {
    const { keysPerBackup, bytesPerUser } = this.limits;
    if (inserts.length > 0) {
      this.checkUser(backup.state.count + inserts.length, keysPerBackup, 'keys in a backup');
    }
    if (bytesPerUser === undefined) return;
    const growth =
      sum(inserts.map(({ sessionData }) => sessionData.length)) +
      sum(updates.map(({ key, stored }) => key.sessionData.length - stored.row.bytes));
    if (growth <= 0) return;
    const bytes = (await backup.bytesOfUser()) + growth;
    this.checkUser(bytes, bytesPerUser, 'bytes of session_data of a user');
  }

  private checkUser(value: number, most: number | undefined, of: string): void {
    if (most === undefined || value <= most) return;
    // the options require the URI with each limit that names it
    throw userLimitExceeded(`The server allows at most ${most} ${of}.`, this.limits.infoUri ?? '');
  }

  private async checkSize(
    userId: string,
    field: string,
    json: string,
    most = Infinity,
  ): Promise<void> {
    if (json.length > most) throw tooLarge(`${field} is larger than ${most} bytes.`);
    if (!(await this.database.fits(userId, json))) {
      throw tooLarge(`${field} is larger than the database can store.`);
    }
  }
}

const sum = (numbers: number[]) => numbers.reduce((total, one) => total + one, 0);
