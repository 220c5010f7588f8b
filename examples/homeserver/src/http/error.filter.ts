import {
  type ArgumentsHost,
  Catch,
  type ExceptionFilter,
  HttpException,
  Logger,
} from '@nestjs/common';
import type { Request, Response } from 'express';

/** Codes for the failures that Nest and its body parser report themselves. */
const ERRCODES: Readonly<Record<number, string>> = {
  400: 'M_NOT_JSON',
  404: 'M_UNRECOGNIZED',
  413: 'M_TOO_LARGE',
};

/** Errors of Matrix routes in the form of Matrix, all others as problem details (RFC 9457). */
@Catch()
export class ErrorFilter implements ExceptionFilter {
  private readonly logger = new Logger('Error');

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const response = http.getResponse<Response>();
    const known = error instanceof HttpException ? error : undefined;
    if (!known) this.logger.error(error instanceof Error ? error.stack : String(error));
    const status = known?.getStatus() ?? 500;
    if (http.getRequest<Request>().path.startsWith('/_matrix/')) {
      response.status(status).json(matrixBody(known, status));
    } else {
      response.status(status).type('application/problem+json').send(problem(known, status));
    }
  }
}

function matrixBody(error: HttpException | undefined, status: number): object {
  const given = error?.getResponse();
  // one of ours: the others have a `statusCode`
  if (typeof given === 'object' && !('statusCode' in given)) return given;
  return { errcode: ERRCODES[status] ?? 'M_UNKNOWN', error: error?.message ?? 'Internal error' };
}

function problem(error: HttpException | undefined, status: number): string {
  const given = error?.getResponse();
  const detail = typeof given === 'object' && 'message' in given ? given.message : given;
  return JSON.stringify({ type: 'about:blank', status, title: error?.name ?? 'Error', detail });
}
