/** THE DELETIONS, in a transaction of the host if there is one: of a backup, of keys, and of all that a user has. */
import type { KeySelection, KeysState } from './room-key.js';
import { unknownBackup } from './room-keys.errors.js';
import type { RoomKeysBackupEvent, RoomKeysObserver } from './room-keys.events.js';
import type { Erased } from './storage/backup-rows.js';
import type { HostTransaction, Joining } from './storage/database/host-transaction.js';
import type { LockedUser } from './storage/locked-user.js';
import type { RetiredKeysSweeper } from './storage/retired-keys.sweeper.js';
import type { RoomKeysRepository } from './storage/room-keys.repository.js';

type Transaction = HostTransaction | null | undefined;
type DeviceId = string | null | undefined;

export class Removals {
  constructor(
    readonly repository: RoomKeysRepository,
    private readonly sweeper?: Pick<RetiredKeysSweeper, 'wake'>,
    private readonly observe?: RoomKeysObserver,
  ) {}

  /** See `RoomKeysService.deleteBackup`. */
  async backup(
    userId: string,
    version: string,
    transaction: Transaction,
    deviceId: DeviceId,
  ): Promise<void> {
    const work = async ({ everExisted, backup, deleteVersion, remember }: LockedUser) => {
      if (!everExisted) throw unknownBackup();
      await deleteVersion();
      await remember({ what: 'deleted', deviceId });
      return backup?.state;
    };
    await this.run(
      transaction,
      (joining) => this.repository.locked(userId, version, work, joining),
      (state) => state && { what: 'deleted', version, ...state },
    );
  }

  /** See `RoomKeysService.deleteKeys`. */
  async keys(
    userId: string,
    version: string,
    selection: KeySelection,
    transaction: Transaction,
    deviceId: DeviceId,
  ): Promise<KeysState> {
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
    const { state } = await this.run(
      transaction,
      (joining) => this.repository.locked(userId, version, work, joining),
      ({ state: { etag }, count }) =>
        isOneKey || count === 0 ? undefined : { what: 'keys_deleted', version, count, etag },
      !isOneKey,
    );
    return state;
  }

  /** See `RoomKeysMaintenance.eraseUser`. */
  user(userId: string, transaction: Transaction): Promise<Erased> {
    return this.run(
      transaction,
      (joining) => this.repository.eraseUser(userId, joining),
      ({ backups, keys, kept }) =>
        backups + kept > 0 ? { what: 'erased', count: keys } : undefined,
    );
  }

  /**
   * After the commit, the change is reported, and the sweeper is woken.
   *
   * @param changeOf the change to report for a result, undefined for none
   * @param leavesRows whether rows are left to the sweeper
   */
  private async run<T>(
    transaction: Transaction,
    work: (joining: Joining | undefined) => Promise<T>,
    changeOf: (result: T) => Omit<RoomKeysBackupEvent, 'type'> | undefined,
    leavesRows = true,
  ): Promise<T> {
    let change: ReturnType<typeof changeOf> = undefined;
    const onCommit = () => {
      if (leavesRows) this.sweeper?.wake();
      if (change) this.observe?.({ type: 'backup', ...change });
    };
    if (transaction === undefined) await this.repository.outsideOfHost();
    const result = await work(transaction ? { transaction, onCommit } : undefined);
    change = changeOf(result);
    if (!transaction) onCommit();
    return result;
  }
}
