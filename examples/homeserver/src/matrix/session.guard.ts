import {
  type CanActivate,
  createParamDecorator,
  type ExecutionContext,
  Injectable,
} from '@nestjs/common';
import type { Request } from 'express';
import { type TokenOwner } from 'nestjs-room-keys';
import { unknownToken } from 'nestjs-room-keys/access-tokens';
import { UsersService } from '../users/users.service.js';
import { missingToken } from './errors.js';

/** Who sent the request, and with which token. */
export interface Caller extends TokenOwner {
  token: string;
}

const callers = new WeakMap<Request, Caller>();

/** Lets a request through that carries the access token of a session. */
@Injectable()
export class SessionGuard implements CanActivate {
  constructor(private readonly users: UsersService) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<Request>();
    const [, token] = /^bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? [];
    if (token === undefined) throw missingToken();
    const owner = await this.users.ownerOf(token);
    if (!owner) throw unknownToken();
    callers.set(request, { ...owner, token });
    return true;
  }
}

export const CurrentCaller = createParamDecorator(
  (_: unknown, context: ExecutionContext): Caller | undefined =>
    callers.get(context.switchToHttp().getRequest<Request>()),
);
