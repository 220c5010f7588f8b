import { createHash, timingSafeEqual } from 'node:crypto';
import {
  type CanActivate,
  type ExecutionContext,
  Injectable,
  UnauthorizedException,
} from '@nestjs/common';
import type { Request } from 'express';
import { Settings } from '../settings.module.js';

@Injectable()
export class AdminGuard implements CanActivate {
  constructor(private readonly settings: Settings) {}

  canActivate(context: ExecutionContext): boolean {
    const { authorization = '' } = context.switchToHttp().getRequest<Request>().headers;
    if (timingSafeEqual(digest(authorization), digest(`Bearer ${this.settings.adminToken}`))) {
      return true;
    }
    throw new UnauthorizedException('The admin token is needed.');
  }
}

const digest = (text: string) => createHash('sha256').update(text).digest();
