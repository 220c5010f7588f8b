import {
  type ArgumentsHost,
  Catch,
  type ExceptionFilter,
  HttpException,
  Logger,
} from '@nestjs/common';
import type { Response } from 'express';

/** Answers every other error, for example for unknown paths, in the format of Matrix errors. */
@Catch()
export class UnrecognizedFilter implements ExceptionFilter {
  private readonly logger = new Logger('Server');

  catch(error: unknown, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<Response>();
    if (!(error instanceof HttpException)) {
      this.logger.error(error instanceof Error ? error.stack : String(error));
      response.status(500).json({ errcode: 'M_UNKNOWN', error: 'Internal server error' });
      return;
    }
    const status = error.getStatus();
    const body =
      status >= 500
        ? error.getResponse()
        : status === 404
          ? { errcode: 'M_UNRECOGNIZED', error: 'Unknown endpoint.' }
          : { errcode: 'M_UNKNOWN', error: 'The request cannot be served.' };
    response.status(status).json(body);
  }
}
