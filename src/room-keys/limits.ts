import { tooLarge, userLimitExceeded } from './room-keys.errors.js';
import type { RoomKeysLimits } from './room-keys-options.interface.js';

/**
 * The operator's limits on what a user may store: each method throws if its limit is exceeded, with an
 * error that names it.
 */
export class Limits {
  private readonly infoUri: string;

  constructor(private readonly limits: RoomKeysLimits = {}) {
    // required with the limits that name it
    this.infoUri = limits.infoUri ?? '';
  }

  /** Whether the bytes of a user need to be counted, which costs a statement. */
  get countsBytes(): boolean {
    return this.limits.bytesPerUser !== undefined;
  }

  /** Whether the backups of a user need to be counted, which costs a statement. */
  get countsBackups(): boolean {
    return this.limits.backupsPerUser !== undefined;
  }

  /** @throws 413 `M_TOO_LARGE` */
  checkAuthData(json: string): void {
    checkSize('auth_data', json, this.limits.authDataBytes);
  }

  /** @throws 413 `M_TOO_LARGE` */
  checkSessionData(json: string): void {
    checkSize('session_data', json, this.limits.sessionDataBytes);
  }

  /** @throws 403 `M_USER_LIMIT_EXCEEDED` for too many backups of one user */
  checkBackups(count: number): void {
    this.checkUser(count, this.limits.backupsPerUser, 'backups of a user');
  }

  /** @throws 403 `M_USER_LIMIT_EXCEEDED` for too many keys in one backup */
  checkKeys(count: number): void {
    this.checkUser(count, this.limits.keysPerBackup, 'keys in a backup');
  }

  /** @throws 403 `M_USER_LIMIT_EXCEEDED` for too many bytes of session_data of one user */
  checkBytes(bytes: number): void {
    this.checkUser(bytes, this.limits.bytesPerUser, 'bytes of session_data of a user');
  }

  private checkUser(value: number, most: number | undefined, of: string): void {
    if (most !== undefined && value > most) {
      throw userLimitExceeded(`The server allows at most ${most} ${of}.`, this.infoUri);
    }
  }
}

function checkSize(field: string, json: string, most: number | undefined): void {
  if (most !== undefined && json.length > most) {
    throw tooLarge(`${field} is larger than ${most} bytes.`);
  }
}
