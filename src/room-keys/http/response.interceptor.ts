import {
  type CallHandler,
  type ExecutionContext,
  Injectable,
  Logger,
  type NestInterceptor,
} from '@nestjs/common';
import type { Response } from 'express';
import { lastValueFrom, type Observable, of } from 'rxjs';
import { redactedError } from '../redacted-error.js';
import { MatrixErrorFilter } from './matrix-error.filter.js';
import { sendJson, type JsonText } from './responses.js';

/**
 * Sends what the handler returns, JSON text, or throws, itself: the interceptors of a host, which
 * come after it, find nothing to wrap or to translate, and text that must not change is not parsed
 * and written anew. Nor do they end it: what was begun is done to its end, whether they still wait
 * for it or not.
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
      // A host's time limit is not about how fast a client reads.
      rest.catch((error: unknown) => this.broken(error, response));
    } catch (error) {
      this.errors.answer(error, response);
      // for the host's interceptors to know; the answer is sent
      throw error;
    }
    return of(undefined);
  }

  private broken(error: unknown, response: Response): void {
    // Breaks the connection: an answer that ends in the middle must not look like a whole one.
    response.destroy();
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ERR_STREAM_PREMATURE_CLOSE')
      this.logger.error(`An answer broke off: ${redactedError(error, 'message')}`);
  }
}
