import { IsString, ValidateIf } from 'class-validator';
import { IsJsonObject, type RawJson } from '../json/json-text.js';
import { DocumentedProperty, DocumentedSchema } from './documentation.js';

const ALGORITHM = 'm.megolm_backup.v1.curve25519-aes-sha2';

const AUTH_DATA = {
  public_key: 'abcdefg',
  signatures: { '@alice:example.org': { 'ed25519:deviceid': 'signature' } },
};

/** Algorithm and its data: the part of a backup that the client chooses. */
export class BackupInformationDto {
  @DocumentedProperty({
    description:
      'The algorithm used for storing backups: the one of the specification, or another that the server is configured for.',
    enum: [ALGORITHM],
    example: ALGORITHM,
  })
  @IsString({ message: '$property must be a string' })
  algorithm!: string;

  @DocumentedProperty({
    description:
      'Data that the algorithm needs; opaque to the server, and returned as it was sent.',
    type: 'object',
    additionalProperties: true,
    example: AUTH_DATA,
  })
  @IsJsonObject()
  auth_data!: RawJson;
}

/** The body of `POST version`. */
@DocumentedSchema('RoomKeysCreateBackup')
export class CreateBackupDto extends BackupInformationDto {}

/** The body of `PUT version/{version}`: only `auth_data` can change. */
@DocumentedSchema('RoomKeysUpdateBackup')
export class UpdateBackupDto extends BackupInformationDto {
  @DocumentedProperty({
    description: 'The backup version. If present, it must be the one in the path.',
    required: false,
    example: '1',
  })
  // not @IsOptional, which accepts null
  @ValidateIf((_, version) => version !== undefined)
  @IsString({ message: '$property must be a string' })
  version?: string;
}

/** The answer to `POST version`. */
@DocumentedSchema('RoomKeysCreatedBackup')
export class CreatedBackupDto {
  @DocumentedProperty({
    description: 'The version id of the new backup, an opaque string.',
    example: '1',
  })
  version!: string;
}

/** A backup without its keys. */
@DocumentedSchema('RoomKeysBackup')
export class BackupDto {
  @DocumentedProperty({
    description: 'The algorithm used for storing backups.',
    enum: [ALGORITHM],
    example: ALGORITHM,
  })
  algorithm!: string;

  @DocumentedProperty({
    description: 'Data that the algorithm needs, as the client sent it.',
    type: 'object',
    additionalProperties: true,
    example: AUTH_DATA,
  })
  auth_data!: Record<string, unknown>;

  @DocumentedProperty({
    description: 'The exact number of keys in the backup.',
    type: 'integer',
    example: 42,
  })
  count!: number;

  @DocumentedProperty({
    description:
      'An opaque string that stands for the stored keys: when it differs from the one that a client got with its last upload, another client has changed the backup.',
    example: 'anopaquestring',
  })
  etag!: string;

  @DocumentedProperty({ description: 'The version id of the backup.', example: '1' })
  version!: string;
}
