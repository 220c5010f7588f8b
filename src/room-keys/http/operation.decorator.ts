import {
  applyDecorators,
  Controller,
  HttpCode,
  Res,
  SetMetadata,
  type Type,
  UseFilters,
  UseGuards,
  UseInterceptors,
  VERSION_NEUTRAL,
} from '@nestjs/common';
import type * as Swagger from '@nestjs/swagger';
import type { RoomKeysOperation } from '../room-keys.events.js';
import { Documented } from './documentation.js';
import { ErrorDto, RateLimitErrorDto, WrongVersionErrorDto } from './error.dto.js';
import { AccessTokenGuard, RateLimitGuard } from './guards.js';
import { JsonBodyInterceptor } from './json-body.interceptor.js';
import { MatrixErrorFilter } from './matrix-error.filter.js';
import { ResponseInterceptor } from './response.interceptor.js';
import { RoomKeysUpdateResponseDto } from './room-key.dto.js';
import { PATH_PREFIXES } from './room-keys.middleware.js';

const OPERATION_METADATA = 'nestjs-room-keys:operation';

/** A parameter index that no handler uses. */
const BEYOND_PARAMETERS = 9;

interface OperationOptions {
  id: RoomKeysOperation;
  summary: string;
  description?: string;
  /** The class of the response body; `{}` if not set. */
  answer?: Type;
  answerDescription: string;
  body?: { type: Type; description: string };
  /** When the response is 400, with an example. */
  badRequest?: { description: string; errcode: string; error: string };
  /** What is missing if the response is 404, and the text of the example. */
  notFound?: { description: string; error: string };
  /** Whether it stores keys: 403 for all but the current backup. */
  storesKeys?: boolean;
}

/** A controller of operations: its guards in this order, and responses and errors in Matrix's format. */
export const RoomKeysController = () =>
  applyDecorators(
    Controller({ path: PATH_PREFIXES[0], version: VERSION_NEUTRAL }),
    UseGuards(AccessTokenGuard, RateLimitGuard),
    UseInterceptors(ResponseInterceptor),
    UseFilters(MatrixErrorFilter),
    Documented(({ ApiTags }) => ApiTags('End-to-end encryption')),
  );

/** An operation of the specification: its documentation, its status, and that we send the response ourselves. */
export function Operation(options: OperationOptions): MethodDecorator {
  return applyDecorators(
    SetMetadata(OPERATION_METADATA, options.id),
    HttpCode(200),
    sendsItsAnswer,
    ...(options.body ? [UseInterceptors(JsonBodyInterceptor)] : []),
    Documented((swagger) => documentationOf(options, swagger)),
  );
}

/** The operation of a handler. */
export function operationOf(handler: object): RoomKeysOperation | undefined {
  return Reflect.getMetadata(OPERATION_METADATA, handler) as RoomKeysOperation | undefined;
}

/** The query parameter that names the backup. */
export const BackupVersionQuery = (description: string) =>
  Documented(({ ApiQuery }) =>
    ApiQuery({ name: 'version', required: true, description, example: '1', type: 'string' }),
  );

export const VersionParam = (description: string) => pathParam('version', description, '1');

export const RoomIdParam = (description: string) =>
  pathParam('roomId', description, '!roomid:example.org');

export const SessionIdParam = (description: string) =>
  pathParam('sessionId', description, 'sessionid');

const pathParam = (name: string, description: string, example: string) =>
  Documented(({ ApiParam }) => ApiParam({ name, description, example, type: 'string' }));

function documentationOf(options: OperationOptions, swagger: typeof Swagger): MethodDecorator[] {
  const { ApiBody, ApiExtension, ApiOperation, ApiResponse } = swagger;
  const { id, summary, description = summary, body } = options;
  const decorators: MethodDecorator[] = [
    ApiOperation({ operationId: id, summary, description }),
    ApiExtension('x-addedInMatrixVersion', '1.1'),
    ...answerOf(options, swagger),
    ...errorsOf(options).map((error) => ApiResponse({ type: ErrorDto, ...error })),
  ];
  if (body) {
    const { type } = body;
    decorators.push(ApiBody({ type, description: body.description, required: true }));
  }
  return decorators;
}

function answerOf(
  { answer, answerDescription: description }: OperationOptions,
  { ApiExtraModels, ApiResponse, getSchemaPath }: typeof Swagger,
): MethodDecorator[] {
  const status = 200;
  if (!answer)
    return [ApiResponse({ status, description, schema: { type: 'object', example: {} } })];
  if (answer !== RoomKeysUpdateResponseDto)
    return [ApiResponse({ status, description, type: answer })];
  // The specification refers to this schema by name but does not define it, so the reference must not
  // be declared an object here.
  const schema = { oneOf: [{ $ref: getSchemaPath(answer) }] };
  return [ApiExtraModels(answer), ApiResponse({ status, description, schema })];
}

interface DocumentedError {
  status: number;
  description: string;
  /** Default: `ErrorDto`. */
  type?: Type;
  example?: { errcode: string; error: string; current_version?: string };
}

function errorsOf({ badRequest, notFound, storesKeys, body }: OperationOptions): DocumentedError[] {
  const errors: DocumentedError[] = [storesKeys ? WRONG_VERSION : GUEST, ...EVERYWHERE];
  if (badRequest) {
    const { description, ...example } = badRequest;
    errors.push({ status: 400, description, example });
  }
  if (notFound) {
    const { description, error } = notFound;
    errors.push({ status: 404, description, example: { errcode: 'M_NOT_FOUND', error } });
  }
  if (body) errors.push(...OF_BODIES);
  return errors;
}

const EVERYWHERE: readonly DocumentedError[] = [
  {
    status: 401,
    description: 'The access token is missing (`M_MISSING_TOKEN`) or unknown (`M_UNKNOWN_TOKEN`).',
    example: { errcode: 'M_MISSING_TOKEN', error: 'The access token is missing.' },
  },
  { status: 429, description: 'This request was rate-limited.', type: RateLimitErrorDto },
  {
    status: 503,
    description:
      'The server cannot check the token or reach its database at the moment, or has too many uploads in progress. Try again later.',
    example: { errcode: 'M_UNKNOWN', error: 'The key backup is not available at the moment.' },
  },
];

const OF_BODIES: readonly DocumentedError[] = [
  {
    status: 408,
    description: 'The client paused for too long while sending the body.',
    example: { errcode: 'M_UNKNOWN', error: 'The body took too long.' },
  },
  {
    status: 415,
    description: 'The Content-Encoding of the body is not identity, gzip, deflate or br.',
    example: {
      errcode: 'M_UNKNOWN',
      error: 'The Content-Encoding of the body is not supported.',
    },
  },
  {
    status: 413,
    description:
      'The body, or a value in it, is larger than the server accepts, or it contains more than 20,000 keys.',
    example: { errcode: 'M_TOO_LARGE', error: 'The body is larger than 16777216 bytes.' },
  },
];

const GUEST: DocumentedError = {
  status: 403,
  description: 'The access token is a guest’s.',
  example: { errcode: 'M_GUEST_ACCESS_FORBIDDEN', error: 'Guests cannot use the key backup.' },
};

const WRONG_VERSION: DocumentedError = {
  status: 403,
  description:
    'The version is not that of the current backup, whose version is in `current_version`; the access token is a guest’s (`M_GUEST_ACCESS_FORBIDDEN`); or the user would have more than the server allows (`M_USER_LIMIT_EXCEEDED`, with `info_uri`).',
  type: WrongVersionErrorDto,
  example: {
    errcode: 'M_WRONG_ROOM_KEYS_VERSION',
    error: 'Wrong backup version.',
    current_version: '42',
  },
};

/** Keeps Nest from sending the response, by injecting it into the handler: see `ResponseInterceptor`. */
const sendsItsAnswer: MethodDecorator = (target, key) => {
  Res()(target, key, BEYOND_PARAMETERS);
};
