import {
  applyDecorators,
  HttpCode,
  Res,
  SetMetadata,
  type Type,
  UseInterceptors,
} from '@nestjs/common';
import {
  ApiBody,
  ApiExtraModels,
  ApiOperation,
  ApiParam,
  ApiQuery,
  ApiResponse,
  getSchemaPath,
} from '@nestjs/swagger';
import type { RoomKeysOperation } from '../room-keys.events.js';
import { ErrorDto, RateLimitErrorDto, WrongVersionErrorDto } from './error.dto.js';
import { JsonBodyInterceptor } from './json-body.interceptor.js';
import { RoomKeysUpdateResponseDto } from './room-key.dto.js';

const OPERATION_METADATA = 'nestjs-room-keys:operation';

/** An index no handler has a parameter at. */
const BEYOND_PARAMETERS = 9;

interface OperationOptions {
  id: RoomKeysOperation;
  summary: string;
  description?: string;
  /** The class of the answer's body; without one it is `{}`. */
  answer?: Type;
  answerDescription: string;
  body?: { type: Type; description: string };
  /** When the answer is 400, with an example. */
  badRequest?: { description: string; errcode: string; error: string };
  /** What is not there when the answer is 404, and the example's text. */
  notFound?: { description: string; error: string };
  /** Whether keys are stored: 403 for all but the current backup. */
  storesKeys?: boolean;
}

/** An operation of the contract: its documentation, its status, and that we send the answer ourselves. */
export function Operation(options: OperationOptions): MethodDecorator {
  const { id, summary, description = summary, answer, answerDescription, body } = options;
  const decorators: MethodDecorator[] = [
    SetMetadata(OPERATION_METADATA, id),
    HttpCode(200),
    ApiOperation({ operationId: id, summary, description }),
    ...answerOf(answer, answerDescription),
    ApiResponse({
      status: 401,
      description:
        'The access token is missing (`M_MISSING_TOKEN`) or unknown (`M_UNKNOWN_TOKEN`).',
      type: ErrorDto,
      example: { errcode: 'M_MISSING_TOKEN', error: 'The access token is missing.' },
    }),
    ApiResponse({
      status: 429,
      description: 'This request was rate-limited.',
      type: RateLimitErrorDto,
    }),
    ApiResponse({
      status: 503,
      description:
        'The server cannot check the token or reach its database at the moment, or takes no more bodies. Try again later.',
      type: ErrorDto,
      example: { errcode: 'M_UNKNOWN', error: 'The key backup is not available at the moment.' },
    }),
    ...badRequestOf(options),
    ...notFoundOf(options),
    forbiddenOf(options),
    sendsItsAnswer,
  ];
  if (body) {
    decorators.push(
      UseInterceptors(JsonBodyInterceptor),
      ApiBody({ type: body.type, description: body.description, required: true }),
      ApiResponse({
        status: 408,
        description: 'Nothing of the body came for too long.',
        type: ErrorDto,
        example: { errcode: 'M_UNKNOWN', error: 'The body took too long.' },
      }),
      ApiResponse({
        status: 415,
        description: 'The Content-Encoding of the body is none of identity, gzip, deflate and br.',
        type: ErrorDto,
        example: {
          errcode: 'M_UNKNOWN',
          error: 'The Content-Encoding of the body is not supported.',
        },
      }),
      ApiResponse({
        status: 413,
        description:
          'The body, or a value in it, is larger than the server takes, or it holds more than 20,000 keys.',
        type: ErrorDto,
        example: { errcode: 'M_TOO_LARGE', error: 'The body is larger than 16777216 bytes.' },
      }),
    );
  }
  return applyDecorators(...decorators);
}

/** Which operation a handler is. */
export function operationOf(handler: object): RoomKeysOperation | undefined {
  return Reflect.getMetadata(OPERATION_METADATA, handler) as RoomKeysOperation | undefined;
}

/** The query parameter that names the backup. */
export const BackupVersionQuery = (description: string) =>
  ApiQuery({ name: 'version', required: true, description, example: '1', type: 'string' });

export const VersionParam = (description: string) =>
  ApiParam({ name: 'version', description, example: '1', type: 'string' });

export const RoomIdParam = (description: string) =>
  ApiParam({ name: 'roomId', description, example: '!roomid:example.org', type: 'string' });

export const SessionIdParam = (description: string) =>
  ApiParam({ name: 'sessionId', description, example: 'sessionid', type: 'string' });

function answerOf(answer: Type | undefined, description: string): MethodDecorator[] {
  const status = 200;
  if (!answer)
    return [ApiResponse({ status, description, schema: { type: 'object', example: {} } })];
  if (answer !== RoomKeysUpdateResponseDto)
    return [ApiResponse({ status, description, type: answer })];
  // The contract refers to this schema by name and defines it nowhere, so that it must not be said
  // here, where the reference stands, to be an object.
  const schema = { oneOf: [{ $ref: getSchemaPath(answer) }] };
  return [ApiExtraModels(answer), ApiResponse({ status, description, schema })];
}

function badRequestOf({ badRequest }: OperationOptions): MethodDecorator[] {
  if (!badRequest) return [];
  const { description, ...example } = badRequest;
  return [ApiResponse({ status: 400, description, type: ErrorDto, example })];
}

function notFoundOf({ notFound }: OperationOptions): MethodDecorator[] {
  if (!notFound) return [];
  const { description, error } = notFound;
  return [
    ApiResponse({
      status: 404,
      description,
      type: ErrorDto,
      example: { errcode: 'M_NOT_FOUND', error },
    }),
  ];
}

function forbiddenOf({ storesKeys }: OperationOptions): MethodDecorator {
  if (!storesKeys) {
    return ApiResponse({
      status: 403,
      description: 'The access token is a guest’s.',
      type: ErrorDto,
      example: { errcode: 'M_GUEST_ACCESS_FORBIDDEN', error: 'Guests cannot use the key backup.' },
    });
  }
  return ApiResponse({
    status: 403,
    description:
      'The version is not that of the current backup, whose version is in `current_version`; the access token is a guest’s (`M_GUEST_ACCESS_FORBIDDEN`); or the user would have more than the server allows (`M_USER_LIMIT_EXCEEDED`, with `info_uri`).',
    type: WrongVersionErrorDto,
    example: {
      errcode: 'M_WRONG_ROOM_KEYS_VERSION',
      error: 'Wrong backup version.',
      current_version: '42',
    },
  });
}

/** Tells Nest that the answer is sent by us: see `ResponseInterceptor`. A handler that injects the response says so. */
const sendsItsAnswer: MethodDecorator = (target, key) => {
  Res()(target, key, BEYOND_PARAMETERS);
};
