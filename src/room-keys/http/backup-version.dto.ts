import { ApiProperty, ApiSchema } from '@nestjs/swagger';
import { IsString, ValidateIf } from 'class-validator';
import { IsJsonObject, type RawJson } from '../json/raw-json.js';

const ALGORITHM = 'm.megolm_backup.v1.curve25519-aes-sha2';

const AUTH_DATA = {
  public_key: 'abcdefg',
  signatures: { '@alice:example.org': { 'ed25519:deviceid': 'signature' } },
};

/** Algorithm and its data: what a client decides of a backup. */
export class BackupInformationDto {
  /** The algorithm used for storing backups: the one of the specification, or another that the server is configured for. */
  @ApiProperty({ enum: [ALGORITHM], example: ALGORITHM })
  @IsString({ message: '$property must be a string' })
  algorithm!: string;

  /** Data that the algorithm needs; opaque to the server, and returned as it was sent. */
  @ApiProperty({ type: 'object', additionalProperties: true, example: AUTH_DATA })
  @IsJsonObject()
  auth_data!: RawJson;
}

/** The body of `POST version`. */
@ApiSchema({ name: 'CreateBackup' })
export class CreateBackupDto extends BackupInformationDto {}

/** The body of `PUT version/{version}`: only `auth_data` can change. */
@ApiSchema({ name: 'UpdateBackup' })
export class UpdateBackupDto extends BackupInformationDto {
  /** The backup version. Where present, it must be the one in the path. */
  @ApiProperty({ required: false, example: '1' })
  // not @IsOptional, which lets null pass
  @ValidateIf((_, version) => version !== undefined)
  @IsString({ message: '$property must be a string' })
  version?: string;
}

/** The answer to `POST version`. */
@ApiSchema({ name: 'CreatedBackup' })
export class CreatedBackupDto {
  /** The version id of the new backup, an opaque string. */
  @ApiProperty({ example: '1' })
  version!: string;
}

/** A backup without its keys. */
@ApiSchema({ name: 'Backup' })
export class BackupDto {
  /** The algorithm used for storing backups. */
  @ApiProperty({ enum: [ALGORITHM], example: ALGORITHM })
  algorithm!: string;

  /** Data that the algorithm needs, as the client sent it. */
  @ApiProperty({ type: 'object', additionalProperties: true, example: AUTH_DATA })
  auth_data!: Record<string, unknown>;

  /** The exact number of keys in the backup. */
  @ApiProperty({ type: 'integer', example: 42 })
  count!: number;

  /**
   * An opaque string that stands for the stored keys: when it differs from the one that a client
   * got with its last upload, another client has changed the backup.
   */
  @ApiProperty({ example: 'anopaquestring' })
  etag!: string;

  /** The version id of the backup. */
  @ApiProperty({ example: '1' })
  version!: string;
}
