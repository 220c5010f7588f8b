import { type ArgumentsHost, Catch, type ExceptionFilter, Logger } from '@nestjs/common';
import type { Response } from 'express';
import { internalError, MatrixError, storageUnavailable } from '../room-keys.errors.js';
import { sendError } from './send.js';

/** Answers every failure of our routes in the form that Matrix gives errors. */
@Catch()
export class MatrixErrorFilter implements ExceptionFilter {
  private readonly logger = new Logger('RoomKeys');

  catch(error: unknown, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<Response>();
    if (response.headersSent) {
      response.destroy();
      return;
    }
    sendError(response, error instanceof MatrixError ? error : this.unexpected(error));
  }

  private unexpected(error: unknown): MatrixError {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== undefined && UNAVAILABLE.has(code)) {
      this.logger.error(`The database is not available (${code}), the client is told 503`);
      return storageUnavailable();
    }
    // A failed query's stack and message hold no values: those are in other properties of it.
    this.logger.error(error instanceof Error ? (error.stack ?? message) : String(error));
    return internalError();
  }
}

/** Codes of mysql2, of MySQL and of SQLite that say: not now. */
const UNAVAILABLE = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
  'PROTOCOL_CONNECTION_LOST',
  'ER_CON_COUNT_ERROR',
  'ER_SERVER_SHUTDOWN',
  'ER_LOCK_DEADLOCK',
  'ER_LOCK_WAIT_TIMEOUT',
  'ER_CHECKREAD',
  'SQLITE_BUSY',
  'SQLITE_BUSY_SNAPSHOT',
  'SQLITE_LOCKED',
  'SQLITE_FULL',
  'SQLITE_IOERR',
]);
