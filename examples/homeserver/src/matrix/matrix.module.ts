import { Module } from '@nestjs/common';
import { AccountsModule } from '../accounts/accounts.module.js';
import { UsersModule } from '../users/users.module.js';
import { AccountController } from './account.controller.js';
import { SessionController } from './session.controller.js';

@Module({
  imports: [UsersModule, AccountsModule],
  controllers: [SessionController, AccountController],
})
export class MatrixModule {}
