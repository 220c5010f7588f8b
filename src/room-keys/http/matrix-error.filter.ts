import {
  type ArgumentsHost,
  Catch,
  type ExceptionFilter,
  HttpException,
  Logger,
} from '@nestjs/common';
import type { Response } from 'express';
import { loggable } from '../loggable.js';
import {
  forbiddenByHost,
  internalError,
  limitExceeded,
  MatrixError,
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
    if (status === 429)
      return limitExceeded((Number(response.getHeader('Retry-After')) || 1) * 1000);
    this.logger.warn(
      `A global guard or interceptor of the host answered a /room_keys/ request with ${status}: let it pass those, RoomKeysModule has a guard of its own.`,
    );
    return status === 408 || status >= 500 ? storageUnavailable() : forbiddenByHost();
  }

  private unexpected(error: unknown, response: Response): MatrixError {
    const { code, name, syscall, withoutConnection } = (error ?? {}) as Failure;
    // of RxJS, from an interceptor of the host's: the client is to try again
    if (name === 'TimeoutError') return this.refusedByHost(408, response);
    if (code !== undefined && (isUnavailable(code) || syscall === 'connect')) {
      // the system call fails with such as ENOENT for a socket in the file system
      this.logger.error(
        `The database is not available (${code}), the client is told 503${adviceOn(code)}`,
      );
      return storageUnavailable();
    }
    if (withoutConnection) {
      const why = loggable(error, 'message');
      this.logger.error(`The database is not available (${why}), the client is told 503`);
      return storageUnavailable();
    }
    this.logger.error(loggable(error));
    return internalError();
  }
}

/** `withoutConnection` is set by the storage: it failed before anything was asked of the database. */
type Failure = NodeJS.ErrnoException & { withoutConnection?: boolean };

/** Codes of the network, of mysql2, of MySQL and of this module that say: not now. */
const UNAVAILABLE = new Set([
  'EAI_AGAIN',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EPIPE',
  'ETIMEDOUT',
  'PROTOCOL_CONNECTION_LOST',
  'PROTOCOL_SEQUENCE_TIMEOUT',
  'PROXYSQL_CONNECT_TIMEOUT',
  'ROOM_KEYS_BUSY',
  'ROOM_KEYS_NO_ANSWER',
  'CR_CONN_HOST_ERROR',
  'CR_SERVER_GONE_ERROR',
  'CR_SERVER_LOST',
  'ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION',
  'ER_CHECKREAD',
  'ER_CLIENT_INTERACTION_TIMEOUT',
  'ER_CONNECTION_KILLED',
  'ER_CON_COUNT_ERROR',
  'ER_DISK_FULL',
  'ER_ERROR_DURING_COMMIT',
  'ER_LOCK_DEADLOCK',
  'ER_LOCK_WAIT_TIMEOUT',
  'ER_NEW_ABORTING_CONNECTION',
  'ER_OPTION_PREVENTS_STATEMENT',
  'ER_QUERY_INTERRUPTED',
  'ER_QUERY_TIMEOUT',
  'ER_READ_ONLY_MODE',
  'ER_RECORD_FILE_FULL',
  'ER_RUN_HOOK_ERROR', // from a member that Group Replication has left behind
  'ER_SERVER_SHUTDOWN',
  'ER_SESSION_WAS_KILLED',
  'ER_STATEMENT_TIMEOUT',
  'ER_TOO_MANY_USER_CONNECTIONS',
  'ER_TRANSACTION_ROLLBACK_DURING_COMMIT',
  'ER_UNKNOWN_COM_ERROR', // from a Galera node that lacks the majority of its cluster, or joins it
  'ER_USER_LIMIT_REACHED',
]);

/** SQLite's come with more detail, such as SQLITE_IOERR_FSYNC. */
const UNAVAILABLE_SQLITE = /^SQLITE_(BUSY|CANTOPEN|FULL|IOERR|LOCKED|NOMEM|READONLY)/;

function isUnavailable(code: string): boolean {
  return UNAVAILABLE.has(code) || UNAVAILABLE_SQLITE.test(code);
}

/** What the operator can do about those that last until somebody does. */
function adviceOn(code: string): string {
  const [, advice = ''] = ADVICE.find(([codes]) => codes.test(code)) ?? [];
  return advice && `. ${advice}`;
}

const ADVICE: readonly [codes: RegExp, advice: string][] = [
  [/^(SQLITE_FULL|ER_DISK_FULL|ER_RECORD_FILE_FULL)$/, 'The disk is full: make room.'],
  [
    /^SQLITE_READONLY_DBMOVED$/,
    'The file was moved or removed: put it back, or start the server again.',
  ],
  [
    /^SQLITE_(READONLY|CANTOPEN)/,
    'The user of this process must be able to write to the file and to its folder.',
  ],
];
