import { randomBytes } from 'node:crypto';
import { Controller, Get, HttpCode, Post, Query, UseGuards } from '@nestjs/common';
import { ApiBearerAuth, ApiBody, ApiOkResponse, ApiQuery, ApiTags } from '@nestjs/swagger';
import { MATRIX_SECURITY_SCHEME } from '../docs.js';
import { BareAnswers } from '../http/envelope.interceptor.js';
import { type Login, UsersService } from '../users/users.service.js';
import {
  authenticationNeeded,
  badJson,
  invalidUsername,
  unknownLoginType,
  userInUse,
  wrongPassword,
} from './errors.js';
import { MatrixBody } from './matrix-body.decorator.js';
import { LoginDto, RegisterDto } from './session.dto.js';
import { type Caller, CurrentCaller, SessionGuard } from './session.guard.js';

const LOCALPART = /^[a-z0-9._=/+-]{1,200}$/;

/** Accounts come into being, devices come and go. */
@Controller('_matrix/client')
@BareAnswers()
@ApiTags('Session management')
export class SessionController {
  constructor(private readonly users: UsersService) {}

  @Get('versions')
  @ApiOkResponse({ description: 'The versions of the specification that are served.' })
  versions() {
    return { versions: ['v1.1', 'v1.2', 'v1.3', 'v1.4', 'v1.5', 'v1.6'] };
  }

  @Get('v3/login')
  @ApiOkResponse({ description: 'The ways to log in.' })
  flows() {
    return { flows: [{ type: 'm.login.password' }] };
  }

  @Post('v3/login')
  @HttpCode(200)
  @ApiBody({ type: LoginDto })
  @ApiOkResponse({ description: 'The device is logged in.' })
  async logIn(@MatrixBody(LoginDto) body: LoginDto) {
    if (body.type !== 'm.login.password') throw unknownLoginType();
    const user = body.identifier?.user ?? body.user;
    if (user === undefined || body.password === undefined) {
      throw badJson('identifier.user and password are needed');
    }
    const userId = this.users.fullId(user);
    if (!(await this.users.hasPassword(userId, body.password))) throw wrongPassword();
    return answerOf(await this.users.logIn(userId, deviceOf(body)));
  }

  @Post('v3/register')
  @HttpCode(200)
  @ApiQuery({ name: 'kind', required: false, enum: ['user', 'guest'] })
  @ApiBody({ type: RegisterDto })
  @ApiOkResponse({ description: 'The account exists, and the device is logged in.' })
  async register(@MatrixBody(RegisterDto) body: RegisterDto, @Query('kind') kind?: string) {
    const isGuest = kind === 'guest';
    if (!isGuest && body.auth?.type !== 'm.login.dummy')
      throw authenticationNeeded('m.login.dummy');
    if (!isGuest && !body.password) throw badJson('password is needed');
    const made = randomBytes(6).toString('hex');
    const localpart = isGuest ? made : (body.username ?? made);
    if (!LOCALPART.test(localpart)) throw invalidUsername();
    const userId = await this.users.register(localpart, isGuest ? null : (body.password ?? null));
    if (userId === undefined) throw userInUse();
    if (body.inhibit_login) return { user_id: userId };
    return answerOf(await this.users.logIn(userId, deviceOf(body)));
  }

  @Post('v3/logout')
  @HttpCode(200)
  @UseGuards(SessionGuard)
  @ApiBearerAuth(MATRIX_SECURITY_SCHEME)
  @ApiOkResponse({ description: 'The access token is worth nothing any more.' })
  async logOut(@CurrentCaller() { token }: Caller) {
    await this.users.logOut(token);
    return {};
  }
}

const deviceOf = (body: LoginDto | RegisterDto) => ({
  deviceId: body.device_id,
  displayName: body.initial_device_display_name,
});

const answerOf = ({ userId, accessToken, deviceId }: Login) => ({
  user_id: userId,
  access_token: accessToken,
  device_id: deviceId,
});
