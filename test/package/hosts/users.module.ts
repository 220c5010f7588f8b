import { Injectable, Module } from '@nestjs/common';
import type { TokenOwner } from 'nestjs-room-keys';

/** What a host has, as far as the README's example asks for it: tokens are names. */
@Injectable()
export class UsersService {
  findByAccessToken(token: string): TokenOwner | null {
    return /^\w+$/.test(token) ? { userId: `@${token}:hs1`, deviceId: 'PHONE' } : null;
  }
}

@Module({ providers: [UsersService], exports: [UsersService] })
export class UsersModule {}
