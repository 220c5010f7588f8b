import {
  type CanActivate,
  type ExecutionContext,
  Inject,
  Injectable,
  Logger,
} from '@nestjs/common';
import type { Request } from 'express';
import { rateLimits } from '../../rate-limits.js';
import { limitExceeded, MatrixError } from '../room-keys.errors.js';
import { ROOM_KEYS_OPTIONS } from '../room-keys.tokens.js';
import type {
  RateLimitedRequest,
  RateLimiter,
  RoomKeysOptions,
} from '../room-keys-options.interface.js';
import { operationOf } from './operation.decorator.js';
import { RoomKeysRequest } from './room-keys.request.js';

/**
 * Refuses requests beyond the rate limit of a user. It runs after the token is verified, since only
 * the token identifies users: behind a proxy they share one address. It runs before query and body are
 * read, so that a refused request costs next to nothing.
 */
@Injectable()
export class RateLimitGuard implements CanActivate {
  private readonly logger = new Logger('RoomKeysRateLimit');
  private readonly limiter: RateLimiter | false;
  private complained = false;

  constructor(
    // created before the module itself, which validates the options
    @Inject(ROOM_KEYS_OPTIONS) options: Pick<RoomKeysOptions, 'rateLimit'> | null | undefined,
  ) {
    this.limiter = options?.rateLimit ?? rateLimits();
  }

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<Request>();
    const { requiredOwner: owner } = RoomKeysRequest.of(request);
    const operation = operationOf(context.getHandler());
    if (this.limiter === false || owner.isRateLimited === false || !operation) return true;
    const kind = ['GET', 'HEAD'].includes(request.method) ? 'read' : 'write';
    const waitMs = await this.decide(this.limiter, { owner, operation, kind }, request);
    if (waitMs !== undefined) throw limitExceeded(Math.max(1, Math.ceil(waitMs)));
    return true;
  }

  private async decide(
    limiter: RateLimiter,
    asked: RateLimitedRequest,
    request: Request,
  ): Promise<number | undefined> {
    try {
      const waitMs = await limiter(asked, request);
      if (waitMs === undefined || Number.isFinite(waitMs)) return waitMs;
      throw new Error('it must return undefined or a number of milliseconds.');
    } catch (error) {
      if (error instanceof MatrixError) throw error;
      this.complain(error);
      return undefined;
    }
  }

  private complain(error: unknown): void {
    if (this.complained) return;
    this.complained = true;
    const why = error instanceof Error ? (error.stack ?? error.message) : 'not an Error';
    this.logger.error(`rateLimit failed, requests are let through; it is not logged again: ${why}`);
  }
}
