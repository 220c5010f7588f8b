import {
  type CallHandler,
  type ExecutionContext,
  Injectable,
  Logger,
  type NestInterceptor,
} from '@nestjs/common';
import type { Response } from 'express';
import { concatMap, type Observable } from 'rxjs';
import { sendJson, type JsonText } from './send.js';

/**
 * Sends what the handler returns, JSON text, itself: the interceptors of a host, which come after
 * it, find nothing to wrap, and text that must not change is not parsed and written anew.
 */
@Injectable()
export class AnswerInterceptor implements NestInterceptor<JsonText, void> {
  private readonly logger = new Logger('RoomKeysAnswer');

  intercept(context: ExecutionContext, next: CallHandler<JsonText>): Observable<void> {
    const response = context.switchToHttp().getResponse<Response>();
    return next.handle().pipe(concatMap((body) => this.send(response, body)));
  }

  private async send(response: Response, body: JsonText): Promise<void> {
    try {
      await sendJson(response, body);
    } catch (error) {
      if (!response.headersSent) throw error;
      // Breaks the connection: an answer that ends in the middle must not look like a whole one.
      response.destroy();
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'ERR_STREAM_PREMATURE_CLOSE')
        this.logger.error(`An answer broke off: ${message}`);
    }
  }
}
