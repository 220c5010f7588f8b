import { Module } from '@nestjs/common';
import { RoomKeysModule } from 'nestjs-room-keys';
import { MATRIX_SECURITY_SCHEME } from './docs.js';
import { UsersModule } from './users/users.module.js';
import { UsersService } from './users/users.service.js';

/**
 * The key backup: its routes are there once this module is imported. It exports `RoomKeysModule`, for
 * providers that inject `RoomKeysService`.
 */
@Module({
  imports: [
    RoomKeysModule.forRootAsync({
      securityScheme: MATRIX_SECURITY_SCHEME,
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
