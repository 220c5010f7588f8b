import {
  applyDecorators,
  Controller,
  UseFilters,
  UseGuards,
  UseInterceptors,
  VERSION_NEUTRAL,
} from '@nestjs/common';
import { AccessTokenGuard } from './access-token.guard.js';
import { Documented } from './documentation.js';
import { MatrixErrorFilter } from './matrix-error.filter.js';
import { RateLimitGuard } from './rate-limit.guard.js';
import { ResponseInterceptor } from './response.interceptor.js';
import { PATH_PREFIXES } from './room-keys.middleware.js';

/** A controller of operations: its guards in this order, and responses and errors in Matrix's format. */
export const RoomKeysController = () =>
  applyDecorators(
    Controller({ path: PATH_PREFIXES[0], version: VERSION_NEUTRAL }),
    UseGuards(AccessTokenGuard, RateLimitGuard),
    UseInterceptors(ResponseInterceptor),
    UseFilters(MatrixErrorFilter),
    Documented(({ ApiTags }) => ApiTags('End-to-end encryption')),
  );
