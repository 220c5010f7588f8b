import { ApiProperty, ApiSchema } from '@nestjs/swagger';

/** A Matrix error, the body of every answer that is not a 200. */
@ApiSchema({ name: 'Error' })
export class ErrorDto {
  /** An error code. */
  @ApiProperty({ example: 'M_UNKNOWN' })
  errcode!: string;

  /** A text for people. */
  @ApiProperty({ example: 'An unknown error occurred' })
  error!: string;
}

/** The client sends more than it may. */
@ApiSchema({ name: 'RateLimitError' })
export class RateLimitErrorDto {
  /** The code of this error. */
  @ApiProperty({ example: 'M_LIMIT_EXCEEDED' })
  errcode!: string;

  /** A text for people. */
  @ApiProperty({ example: 'Too many requests' })
  error!: string;

  /** Milliseconds to wait before the request is sent again. */
  @ApiProperty({ type: 'integer', required: false, example: 2000 })
  retry_after_ms?: number;
}

/** Keys can be stored in the current backup only. */
@ApiSchema({ name: 'WrongVersionError' })
export class WrongVersionErrorDto {
  /** The code of this error, or that of a guest's token. */
  @ApiProperty({ example: 'M_WRONG_ROOM_KEYS_VERSION' })
  errcode!: string;

  /** A text for people. */
  @ApiProperty({ example: 'Wrong backup version.' })
  error!: string;

  /** The version id of the backup that is current now. */
  @ApiProperty({ required: false, example: '42' })
  current_version?: string;
}
