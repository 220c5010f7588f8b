import {
  type CallHandler,
  type ExecutionContext,
  Injectable,
  Logger,
  type NestInterceptor,
} from '@nestjs/common';
import type { Response } from 'express';
import { lastValueFrom, type Observable, of } from 'rxjs';
import { redactedError } from '../storage.errors.js';
import { MatrixErrorFilter } from './matrix-error.filter.js';
import { sendJson, type JsonText } from './responses.js';

/**
 * Sends the JSON text that the handler returns, or the error that it throws: interceptors of the host,
 * which come after it, have nothing to wrap or transform, and text that must not change is not parsed
 * and serialized again. Nor can they cancel it: a request that was begun is completed, whether they
 * still wait for it or not.
 */
@Injectable()
export class ResponseInterceptor implements NestInterceptor<JsonText, void> {
  private readonly logger = new Logger('RoomKeysAnswer');
  private readonly errors = new MatrixErrorFilter();

  async intercept(
    context: ExecutionContext,
    next: CallHandler<JsonText>,
  ): Promise<Observable<void>> {
    const response = context.switchToHttp().getResponse<Response>();
    try {
      const { rest } = await sendJson(response, await lastValueFrom(next.handle()));
      // Not awaited: a host's timeout must not depend on how fast a client reads.
      rest.catch((error: unknown) => this.broken(error, response));
    } catch (error) {
      this.errors.answer(error, response);
      // for the host's interceptors; the response is sent already
      throw error;
    }
    return of(undefined);
  }

  private broken(error: unknown, response: Response): void {
    // Breaks the connection: a truncated response must not look complete.
    response.destroy();
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ERR_STREAM_PREMATURE_CLOSE')
      this.logger.error(`A response was cut off: ${redactedError(error, 'message')}`);
  }
}
