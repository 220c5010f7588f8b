import {
  type ArgumentsHost,
  Catch,
  type ExceptionFilter,
  HttpException,
  Logger,
} from '@nestjs/common';
import type { Response } from 'express';
import {
  forbiddenByHost,
  internalError,
  MatrixError,
  rateLimited,
  storageUnavailable,
} from '../room-keys.errors.js';
import { sendError } from './send.js';

/** Answers every failure of our routes in the form that Matrix gives errors. */
@Catch()
export class MatrixErrorFilter implements ExceptionFilter {
  private readonly logger = new Logger('RoomKeys');

  catch(error: unknown, host: ArgumentsHost): void {
    this.answer(error, host.switchToHttp().getResponse<Response>());
  }

  /** Answers with an error, unless there is an answer already. */
  answer(error: unknown, response: Response): void {
    if (response.headersSent) return;
    sendError(response, this.asMatrixError(error, response));
  }

  private asMatrixError(error: unknown, response: Response): MatrixError {
    if (error instanceof MatrixError) return error;
    return error instanceof HttpException
      ? this.refusedByHost(error.getStatus(), response)
      : this.unexpected(error, response);
  }

  /** A guard or an interceptor that the host has put around all routes. */
  private refusedByHost(status: number, response: Response): MatrixError {
    if (status === 429) return rateLimited(Number(response.getHeader('Retry-After')) || 1);
    this.logger.warn(
      `A global guard or interceptor of the host answered a /room_keys/ request with ${status}: let it pass those, RoomKeysModule has a guard of its own.`,
    );
    return status === 408 || status >= 500 ? storageUnavailable() : forbiddenByHost();
  }

  private unexpected(error: unknown, response: Response): MatrixError {
    const { code, name } = (error ?? {}) as NodeJS.ErrnoException;
    // of RxJS, from an interceptor of the host's: the client is to try again
    if (name === 'TimeoutError') return this.refusedByHost(408, response);
    if (code !== undefined && (UNAVAILABLE.has(code) || UNAVAILABLE_SQLITE.test(code))) {
      this.logger.error(`The database is not available (${code}), the client is told 503`);
      return storageUnavailable();
    }
    // A failed query's stack and message hold no values: those are in other properties of it.
    this.logger.error(
      error instanceof Error
        ? (error.stack ?? error.message)
        : 'something that is no error was thrown',
    );
    return internalError();
  }
}

/** Codes of the network, of mysql2, of MySQL and of this module that say: not now. */
const UNAVAILABLE = new Set([
  'EAI_AGAIN',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
  'PROTOCOL_CONNECTION_LOST',
  'ROOM_KEYS_BUSY',
  'ER_CHECKREAD',
  'ER_CLIENT_INTERACTION_TIMEOUT',
  'ER_CON_COUNT_ERROR',
  'ER_DISK_FULL',
  'ER_LOCK_DEADLOCK',
  'ER_LOCK_WAIT_TIMEOUT',
  'ER_NEW_ABORTING_CONNECTION',
  'ER_OPTION_PREVENTS_STATEMENT',
  'ER_QUERY_INTERRUPTED',
  'ER_RECORD_FILE_FULL',
  'ER_SERVER_SHUTDOWN',
  'ER_TOO_MANY_USER_CONNECTIONS',
  'ER_USER_LIMIT_REACHED',
]);

/** SQLite's come with more detail, such as SQLITE_IOERR_FSYNC. */
const UNAVAILABLE_SQLITE = /^SQLITE_(BUSY|CANTOPEN|FULL|IOERR|LOCKED|NOMEM)/;
