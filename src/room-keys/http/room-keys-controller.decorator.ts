import {
  applyDecorators,
  Controller,
  UseFilters,
  UseGuards,
  UseInterceptors,
  VERSION_NEUTRAL,
} from '@nestjs/common';
import { ApiBearerAuth, ApiExcludeController, ApiTags } from '@nestjs/swagger';
import { AccessTokenGuard } from './access-token.guard.js';
import { ResponseInterceptor } from './response.interceptor.js';
import { PATH_PREFIXES } from './room-keys.middleware.js';
import { MatrixErrorFilter } from './matrix-error.filter.js';
import { RateLimitGuard } from './rate-limit.guard.js';

const [documented, ...legacy] = PATH_PREFIXES;

/** Name of the security scheme in the OpenAPI document. */
export const SECURITY_SCHEME = 'accessToken';

/** A controller of operations under the documented prefix: guarded in this order, and answering as Matrix does. */
export const RoomKeysController = () =>
  applyDecorators(
    Controller({ path: documented, version: VERSION_NEUTRAL }),
    UseGuards(AccessTokenGuard, RateLimitGuard),
    UseInterceptors(ResponseInterceptor),
    UseFilters(MatrixErrorFilter),
    ApiTags('End-to-end encryption'),
    ApiBearerAuth(SECURITY_SCHEME),
  );

/** The same operations for old clients, for a class that extends one with {@link RoomKeysController}. */
export const LegacyRoomKeysController = () =>
  applyDecorators(Controller({ path: legacy, version: VERSION_NEUTRAL }), ApiExcludeController());
