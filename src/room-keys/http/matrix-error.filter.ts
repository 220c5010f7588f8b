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
    const { code } = (error ?? {}) as NodeJS.ErrnoException;
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
