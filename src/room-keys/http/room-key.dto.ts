import { IsBoolean, IsInt, Max, Min } from 'class-validator';
import { IsJsonObject, type RawJson } from '../json/json-text.js';
import { DocumentedProperty, DocumentedSchema } from './documentation.js';

const SESSION_DATA = {
  ephemeral: 'base64+ephemeral+key',
  ciphertext: 'base64+ciphertext+of+JSON+data',
  mac: 'base64+mac+of+ciphertext',
};

const KEY = {
  first_message_index: 1,
  forwarded_count: 0,
  is_verified: true,
  session_data: SESSION_DATA,
};

/** A whole number that JavaScript holds exactly. */
const WHOLE = { message: '$property must be a whole number from 0 to 9007199254740991' };

/** One backed up key. */
@DocumentedSchema('RoomKeysKey')
export class KeyBackupDataDto {
  @DocumentedProperty({
    description: 'The index of the first message in the session that the key can decrypt.',
    type: 'integer',
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    example: 1,
  })
  @IsInt(WHOLE)
  @Min(0, WHOLE)
  @Max(Number.MAX_SAFE_INTEGER, WHOLE)
  first_message_index!: number;

  @DocumentedProperty({
    description: 'How many times the key has been forwarded between devices by key sharing.',
    type: 'integer',
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    example: 0,
  })
  @IsInt(WHOLE)
  @Min(0, WHOLE)
  @Max(Number.MAX_SAFE_INTEGER, WHOLE)
  forwarded_count!: number;

  @DocumentedProperty({
    description:
      'Whether the device that backs up the key verified the device that the key is from.',
    example: false,
  })
  @IsBoolean({ message: '$property must be true or false' })
  is_verified!: boolean;

  @DocumentedProperty({
    description: 'The encrypted key; opaque to the server, and returned as it was sent.',
    type: 'object',
    additionalProperties: true,
    example: SESSION_DATA,
  })
  @IsJsonObject()
  session_data!: RawJson;
}

/** The keys of one room. */
@DocumentedSchema('RoomKeysRoom')
export class RoomKeyBackupDto {
  @DocumentedProperty(({ getSchemaPath }) => ({
    description: 'Session ids and their keys.',
    type: 'object',
    additionalProperties: { $ref: getSchemaPath(KeyBackupDataDto) },
    example: { sessionid1: KEY },
  }))
  sessions!: Record<string, KeyBackupDataDto>;
}

/** The keys of several rooms. */
@DocumentedSchema('RoomKeysRooms')
export class RoomKeysDto {
  @DocumentedProperty(({ getSchemaPath }) => ({
    description: 'Room ids and the keys of each room.',
    type: 'object',
    additionalProperties: { $ref: getSchemaPath(RoomKeyBackupDto) },
    example: { '!room:example.org': { sessions: { sessionid1: KEY } } },
  }))
  rooms!: Record<string, RoomKeyBackupDto>;
}

/** The answer to each change of the keys. */
@DocumentedSchema('RoomKeysUpdateResponse')
export class RoomKeysUpdateResponseDto {
  @DocumentedProperty({
    description: 'The exact number of keys in the backup.',
    type: 'integer',
    example: 10,
  })
  count!: number;

  @DocumentedProperty({
    description: 'An opaque string for the state of the stored keys; it changes whenever they do.',
    example: 'abcdefg',
  })
  etag!: string;
}
