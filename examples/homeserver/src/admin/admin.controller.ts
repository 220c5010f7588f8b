import {
  Body,
  ConflictException,
  Controller,
  Delete,
  Get,
  HttpCode,
  NotFoundException,
  Param,
  Post,
  UseGuards,
} from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiCreatedResponse,
  ApiNoContentResponse,
  ApiOkResponse,
  ApiTags,
} from '@nestjs/swagger';
import { AccountsService } from '../accounts/accounts.service.js';
import { ADMIN_SECURITY_SCHEME } from '../docs.js';
import type { User } from '../users/user.entity.js';
import { UsersService } from '../users/users.service.js';
import { CreateUserDto } from './admin.dto.js';
import { AdminGuard } from './admin.guard.js';

/** For operators of the server: not part of Matrix, hence below the global prefix and in the host's own format. */
@Controller('users')
@UseGuards(AdminGuard)
@ApiTags('Admin')
@ApiBearerAuth(ADMIN_SECURITY_SCHEME)
export class AdminController {
  constructor(
    private readonly users: UsersService,
    private readonly accounts: AccountsService,
  ) {}

  @Get()
  @ApiOkResponse({ description: 'The users of this server.' })
  async list() {
    return (await this.users.list()).map(asPublic);
  }

  @Post()
  @ApiCreatedResponse({ description: 'The user is there.' })
  async create(@Body() { localpart, password }: CreateUserDto) {
    const userId = await this.users.register(localpart, password);
    if (userId === undefined) throw new ConflictException('The name is taken.');
    return { userId };
  }

  @Get(':userId')
  @ApiOkResponse({ description: 'A user, and what the key backup holds of them.' })
  async get(@Param('userId') userId: string) {
    const account = await this.accounts.find(userId);
    if (!account) throw new NotFoundException('Unknown user.');
    return { ...asPublic(account.user), keys: account.keys };
  }

  @Delete(':userId')
  @HttpCode(204)
  @ApiNoContentResponse({ description: 'The account is deactivated, its backups are gone.' })
  async deactivate(@Param('userId') userId: string): Promise<void> {
    if (!(await this.accounts.deactivate(userId))) {
      throw new NotFoundException('Unknown user.');
    }
  }
}

const asPublic = ({ userId, isGuest, isDeactivated }: User) => ({
  userId,
  isGuest,
  isDeactivated,
});
