import { documentIsMade, DocumentedProperty, DocumentedSchema } from './documentation.js';

/** A Matrix error, the body of every response that is not a 200. */
@DocumentedSchema('RoomKeysError')
export class ErrorDto {
  @DocumentedProperty({
    description: 'An error code.',
    example: 'M_UNKNOWN',
    type: () => {
      documentIsMade();
      return String;
    },
  })
  errcode!: string;

  @DocumentedProperty({
    description: 'A human-readable message.',
    example: 'An unknown error occurred',
  })
  error!: string;
}

/** The client exceeds its rate limit. */
@DocumentedSchema('RoomKeysRateLimitError')
export class RateLimitErrorDto {
  @DocumentedProperty({ description: 'The code of this error.', example: 'M_LIMIT_EXCEEDED' })
  errcode!: string;

  @DocumentedProperty({ description: 'A human-readable message.', example: 'Too many requests' })
  error!: string;

  @DocumentedProperty({
    description: 'Milliseconds to wait before the request is sent again.',
    type: 'integer',
    required: false,
    example: 2000,
  })
  retry_after_ms?: number;
}

/** Keys can be stored in the current backup only. */
@DocumentedSchema('RoomKeysWrongVersionError')
export class WrongVersionErrorDto {
  @DocumentedProperty({
    description: "The code of this error, or that of a guest's token.",
    example: 'M_WRONG_ROOM_KEYS_VERSION',
  })
  errcode!: string;

  @DocumentedProperty({
    description: 'A human-readable message.',
    example: 'Wrong backup version.',
  })
  error!: string;

  @DocumentedProperty({
    description: 'The version id of the backup that is current now.',
    required: false,
    example: '42',
  })
  current_version?: string;
}
