import { Module } from '@nestjs/common';
import { RoomKeysModule } from 'nestjs-room-keys';
import { UsersModule } from './users/users.module.js';
import { UsersService } from './users/users.service.js';

/**
 * The key backup: its routes are there once this module is imported. It exports `RoomKeysModule`, for
 * whoever injects `RoomKeysService`.
 */
@Module({
  imports: [
    RoomKeysModule.forRootAsync({
      imports: [UsersModule],
      inject: [UsersService],
      useFactory: (users: UsersService) => ({
        // whose token is this?
        verifyAccessToken: (token) => users.ownerOf(token),
      }),
    }),
  ],
  exports: [RoomKeysModule],
})
export class KeyBackupModule {}
