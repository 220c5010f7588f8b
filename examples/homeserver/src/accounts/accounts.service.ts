import { Injectable } from '@nestjs/common';
import { RoomKeysMaintenance, type UserSummary } from 'nestjs-room-keys/operations';
import { DataSource } from 'typeorm';
import type { User } from '../users/user.entity.js';
import { UsersService } from '../users/users.service.js';

/** Users together with what the key backup holds of them. */
@Injectable()
export class AccountsService {
  constructor(
    private readonly users: UsersService,
    private readonly roomKeys: RoomKeysMaintenance,
    private readonly dataSource: DataSource,
  ) {}

  async find(userId: string): Promise<{ user: User; keys: UserSummary } | null> {
    const user = await this.users.find(userId);
    return user && { user, keys: await this.roomKeys.summary(userId) };
  }

  /**
   * Ends an account: its password, its sessions and its backups are gone together, or all still there.
   *
   * @returns false if the user does not exist
   */
  async deactivate(userId: string): Promise<boolean> {
    return this.dataSource.transaction(async (manager) => {
      if (!(await this.users.deactivate(userId, manager))) return false;
      await this.roomKeys.eraseUser(userId, manager);
      return true;
    });
  }
}
