import { Module } from '@nestjs/common';
import { AccountsModule } from '../accounts/accounts.module.js';
import { UsersModule } from '../users/users.module.js';
import { AdminController } from './admin.controller.js';

@Module({ imports: [UsersModule, AccountsModule], controllers: [AdminController] })
export class AdminModule {}
