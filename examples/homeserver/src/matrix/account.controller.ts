import { Controller, Get, HttpCode, Post, UseGuards } from '@nestjs/common';
import { ApiBearerAuth, ApiBody, ApiOkResponse, ApiTags } from '@nestjs/swagger';
import { AccountsService } from '../accounts/accounts.service.js';
import { MATRIX_SECURITY_SCHEME } from '../docs.js';
import { BareAnswers } from '../http/envelope.interceptor.js';
import { UsersService } from '../users/users.service.js';
import { authenticationNeeded } from './errors.js';
import { MatrixBody } from './matrix-body.decorator.js';
import { DeactivateDto } from './session.dto.js';
import { type Caller, CurrentCaller, SessionGuard } from './session.guard.js';

@Controller('_matrix/client/v3/account')
@UseGuards(SessionGuard)
@BareAnswers()
@ApiTags('Account management')
@ApiBearerAuth(MATRIX_SECURITY_SCHEME)
export class AccountController {
  constructor(
    private readonly users: UsersService,
    private readonly accounts: AccountsService,
  ) {}

  @Get('whoami')
  @ApiOkResponse({ description: 'Whose access token it is.' })
  whoami(@CurrentCaller() { userId, deviceId, isGuest }: Caller) {
    return { user_id: userId, device_id: deviceId, is_guest: isGuest };
  }

  @Post('deactivate')
  @HttpCode(200)
  @ApiBody({ type: DeactivateDto })
  @ApiOkResponse({ description: 'The account cannot be used any more, its backups are gone.' })
  async deactivate(
    @CurrentCaller() { userId }: Caller,
    @MatrixBody(DeactivateDto) { auth }: DeactivateDto,
  ) {
    if (auth?.type !== 'm.login.password') throw authenticationNeeded('m.login.password');
    if (!(await this.users.hasPassword(userId, auth.password ?? ''))) {
      throw authenticationNeeded('m.login.password', {
        errcode: 'M_FORBIDDEN',
        error: 'Wrong password.',
      });
    }
    await this.accounts.deactivate(userId);
    return { id_server_unbind_result: 'no-support' };
  }
}
