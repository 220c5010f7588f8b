import { Injectable } from '@nestjs/common';
import { RoomKeysService, type UserSummary } from 'nestjs-room-keys';
import type { User } from '../users/user.entity.js';
import { UsersService } from '../users/users.service.js';

/** Users together with what the key backup holds of them. */
@Injectable()
export class AccountsService {
  constructor(
    private readonly users: UsersService,
    private readonly roomKeys: RoomKeysService,
  ) {}

  async find(userId: string): Promise<{ user: User; keys: UserSummary } | null> {
    const user = await this.users.find(userId);
    return user && { user, keys: await this.roomKeys.summary(userId) };
  }

  /**
   * Ends an account. To do it again does what an earlier attempt left undone.
   *
   * @returns false where there is no such user
   */
  async deactivate(userId: string): Promise<boolean> {
    // in this order: a device that is still logged in could back up a key behind the erasure
    if (!(await this.users.deactivate(userId))) return false;
    await this.roomKeys.eraseUser(userId);
    return true;
  }
}
