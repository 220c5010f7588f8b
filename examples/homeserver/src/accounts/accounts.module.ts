import { Module } from '@nestjs/common';
import { KeyBackupModule } from '../key-backup.module.js';
import { UsersModule } from '../users/users.module.js';
import { AccountsService } from './accounts.service.js';

@Module({
  imports: [UsersModule, KeyBackupModule],
  providers: [AccountsService],
  exports: [AccountsService],
})
export class AccountsModule {}
