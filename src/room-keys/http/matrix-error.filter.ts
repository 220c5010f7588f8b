import {
  type ArgumentsHost,
  Catch,
  type ExceptionFilter,
  HttpException,
  Logger,
  Optional,
} from '@nestjs/common';
import { ApplicationConfig } from '@nestjs/core';
import type { Response } from 'express';
import { redactedError, StorageUnavailableError, TooManyWaitingError } from '../storage.errors.js';
import {
  forbiddenByHost,
  internalError,
  limitExceeded,
  MatrixError,
  storageUnavailable,
} from '../room-keys.errors.js';
import { RoomKeysRequest } from './room-keys.request.js';
import { sendError } from './responses.js';

/** Classes of Nest at the top of the stack of a guard's error. */
const OF_NEST = new Set(['GuardsConsumer', 'Object']);

/** Answers every error of our routes as a Matrix error. */
@Catch()
export class MatrixErrorFilter implements ExceptionFilter {
  private readonly logger = new Logger('RoomKeys');
  private readonly warned = new Set<number>();

  constructor(@Optional() private readonly config?: ApplicationConfig) {}

  catch(error: unknown, host: ArgumentsHost): void {
    this.answer(error, host.switchToHttp().getResponse<Response>());
  }

  /** Sends an error, unless a response has begun. */
  answer(error: unknown, response: Response): void {
    if (response.headersSent) return;
    sendError(response, this.asMatrixError(error, response));
  }

  private asMatrixError(error: unknown, response: Response): MatrixError {
    if (error instanceof MatrixError) return error;
    return error instanceof HttpException
      ? this.refusedByHost(error, error.getStatus(), response)
      : this.unexpected(error, response);
  }

  /** Thrown by a global guard or interceptor of the host. */
  private refusedByHost(error: unknown, status: number, response: Response): MatrixError {
    if (status === 429)
      return limitExceeded((Number(response.getHeader('Retry-After')) || 1) * 1000);
    if (!this.warned.has(status)) {
      this.warned.add(status);
      this.logger.warn(
        `${this.nameOf(error)} of the host answered a /room_keys/ request with ${status}: let it pass those, for example by the option 'decorators' of RoomKeysModule, which has a guard of its own. It is not logged again.`,
      );
    }
    return status === 408 || status >= 500 ? storageUnavailable() : forbiddenByHost();
  }

  /** The class that threw, as far as it is known: Nest itself throws if a guard returned false. */
  private nameOf(error: unknown): string {
    const [, thrower] =
      /^ *at (?:async )?(\w+)\.(?:canActivate|intercept) /m.exec(
        (error as Error | undefined)?.stack ?? '',
      ) ?? [];
    if (thrower !== undefined && !OF_NEST.has(thrower)) return `The global ${thrower}`;
    const guards = [
      ...(this.config?.getGlobalGuards() ?? []).map((guard) => guard.constructor.name),
      ...(this.config?.getGlobalRequestGuards() ?? []).map(({ name }) => String(name)),
    ];
    return guards.length === 0
      ? 'A global guard or interceptor'
      : `A global guard or interceptor (${[...new Set(guards)].join(', ')})`;
  }

  private unexpected(error: unknown, response: Response): MatrixError {
    // RxJS's, from an interceptor of the host: the client should try again
    if ((error as Error | undefined)?.name === 'TimeoutError')
      return this.refusedByHost(error, 408, response);
    if (error instanceof TooManyWaitingError) return limitExceeded(error.retryAfterMs);
    if (error instanceof StorageUnavailableError) {
      RoomKeysRequest.of(response.req).databaseFailure = error.isDiskFull
        ? 'disk-full'
        : 'unavailable';
      const why = error.isKnownCode ? error.code : redactedError(error, 'message');
      const advice = error.advice === undefined ? '' : `. ${error.advice}`;
      this.logger.error(`The database is not available (${why}), the client gets 503${advice}`);
      return storageUnavailable();
    }
    this.logger.error(redactedError(error));
    return internalError();
  }
}
