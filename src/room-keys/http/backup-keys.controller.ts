import { Delete, Get, Put, Req } from '@nestjs/common';
import type { Request } from 'express';
import type { RoomKey } from '../room-key.js';
import { RoomKeysService } from '../room-keys.service.js';
import * as responses from './responses.js';
import {
  BackupVersionQuery,
  Operation,
  RoomIdParam,
  RoomKeysController,
  SessionIdParam,
} from './operation.decorator.js';
import { RoomKeysRequest } from './room-keys.request.js';
import {
  KeyBackupDataDto,
  RoomKeyBackupDto,
  RoomKeysDto,
  RoomKeysUpdateResponseDto,
} from './room-key.dto.js';
import { allRoomsBody, oneKeyBody, oneRoomBody } from './bodies.js';

const notFound = { description: 'The backup was not found.', error: 'Unknown backup version' };
const stored = {
  answer: RoomKeysUpdateResponseDto,
  answerDescription: 'The keys are stored, or better ones were there already.',
  badRequest: {
    description:
      'The body is not JSON (`M_NOT_JSON`) or has the wrong shape (`M_BAD_JSON`), or a parameter is missing or wrong. Nothing is stored.',
    errcode: 'M_BAD_JSON',
    error: 'is_verified must be true or false',
  },
  notFound,
  storesKeys: true,
};
const badRequest = {
  description: 'The query parameter `version` is missing, or a parameter is wrong.',
  errcode: 'M_MISSING_PARAM',
  error: "The query parameter 'version' is missing.",
};
const deleted = {
  answer: RoomKeysUpdateResponseDto,
  answerDescription: 'The keys are deleted.',
  badRequest,
  notFound,
};

/** The nine operations on keys: store, read and delete all of them, those of a room, or one. */
@RoomKeysController()
export class BackupKeysController {
  constructor(private readonly service: RoomKeysService) {}

  @Put('keys')
  @BackupVersionQuery('The backup in which to store the keys. Must be the current backup.')
  @Operation({
    id: 'putRoomKeys',
    summary: 'Store several keys in the backup.',
    description:
      'Stores keys of several rooms: all of them or, on an error, none. A key that is stored already stays unless the new one is better: verified before unverified, then the lower `first_message_index`, then the lower `forwarded_count`.',
    body: { type: RoomKeysDto, description: 'The backup data.' },
    ...stored,
  })
  async putAll(@Req() incoming: Request) {
    const request = RoomKeysRequest.of(incoming);
    return this.store(request, allRoomsBody(request.takeBody()));
  }

  @Get('keys')
  @BackupVersionQuery('The backup from which to retrieve the keys.')
  @Operation({
    id: 'getRoomKeys',
    summary: 'Retrieve the keys from the backup.',
    description: 'Retrieves all keys of the backup.',
    answer: RoomKeysDto,
    answerDescription: 'The key data. Without keys it is `{"rooms": {}}`.',
    badRequest,
    notFound,
  })
  async getAll(@Req() incoming: Request) {
    const { userId, version } = RoomKeysRequest.of(incoming);
    return { pieces: responses.allRooms(await this.service.keys(userId, version)) };
  }

  @Delete('keys')
  @BackupVersionQuery('The backup from which to delete the keys.')
  @Operation({
    id: 'deleteRoomKeys',
    summary: 'Delete the keys from the backup.',
    description: 'Deletes all keys of the backup; the backup itself stays.',
    ...deleted,
  })
  async deleteAll(@Req() incoming: Request) {
    const { userId, deviceId, version } = RoomKeysRequest.of(incoming);
    return responses.keysState(await this.service.deleteKeys(userId, version, {}, null, deviceId));
  }

  @Put('keys/:roomId')
  @BackupVersionQuery('The backup in which to store the keys. Must be the current backup.')
  @RoomIdParam('The id of the room that the keys are for.')
  @Operation({
    id: 'putRoomKeysByRoomId',
    summary: 'Store several keys in the backup for a given room.',
    description: 'Stores keys of one room, by the same rule as `PUT keys`.',
    body: { type: RoomKeyBackupDto, description: 'The backup data.' },
    ...stored,
  })
  async putRoom(@Req() incoming: Request) {
    const request = RoomKeysRequest.of(incoming);
    const { roomId } = request;
    return this.store(request, oneRoomBody(request.takeBody(), roomId));
  }

  @Get('keys/:roomId')
  @BackupVersionQuery('The backup from which to retrieve the keys.')
  @RoomIdParam('The id of the room that the keys are for.')
  @Operation({
    id: 'getRoomKeysByRoomId',
    summary: 'Retrieve the keys from the backup for a given room.',
    description: 'Retrieves all keys of one room, from any backup that is not deleted.',
    answer: RoomKeyBackupDto,
    answerDescription: 'The key data. Without keys it is `{"sessions": {}}`.',
    badRequest,
    notFound,
  })
  async getRoom(@Req() incoming: Request) {
    const { userId, version, roomId } = RoomKeysRequest.of(incoming);
    return { pieces: responses.oneRoom(await this.service.keys(userId, version, { roomId })) };
  }

  @Delete('keys/:roomId')
  @BackupVersionQuery('The backup from which to delete the keys.')
  @RoomIdParam('The id of the room that the keys are for.')
  @Operation({
    id: 'deleteRoomKeysByRoomId',
    summary: 'Delete the keys from the backup for a given room.',
    description:
      'Deletes all keys of one room. Where there are none, it succeeds and changes nothing.',
    ...deleted,
  })
  async deleteRoom(@Req() incoming: Request) {
    const { userId, deviceId, version, roomId } = RoomKeysRequest.of(incoming);
    return responses.keysState(
      await this.service.deleteKeys(userId, version, { roomId }, null, deviceId),
    );
  }

  @Put('keys/:roomId/:sessionId')
  @BackupVersionQuery('The backup in which to store the key. Must be the current backup.')
  @SessionIdParam('The id of the megolm session that the key is for.')
  @RoomIdParam('The id of the room that the key is for.')
  @Operation({
    id: 'putRoomKeyBySessionId',
    summary: 'Store a key in the backup.',
    description: 'Stores one key, by the same rule as `PUT keys`.',
    body: { type: KeyBackupDataDto, description: 'The key data.' },
    ...stored,
  })
  async putKey(@Req() incoming: Request) {
    const request = RoomKeysRequest.of(incoming);
    const { roomId, sessionId } = request;
    return this.store(request, oneKeyBody(request.takeBody(), roomId, sessionId));
  }

  @Get('keys/:roomId/:sessionId')
  @BackupVersionQuery('The backup from which to retrieve the key.')
  @SessionIdParam('The id of the megolm session whose key is requested.')
  @RoomIdParam('The id of the room that the key is for.')
  @Operation({
    id: 'getRoomKeyBySessionId',
    summary: 'Retrieve a key from the backup.',
    description: 'Retrieves one key, from any backup that is not deleted.',
    answer: KeyBackupDataDto,
    answerDescription: 'The key data.',
    badRequest,
    notFound: { description: 'The key or the backup was not found.', error: 'Key not found.' },
  })
  async getKey(@Req() incoming: Request) {
    const { userId, version, roomId, sessionId } = RoomKeysRequest.of(incoming);
    return responses.key(await this.service.key(userId, version, { roomId, sessionId }));
  }

  @Delete('keys/:roomId/:sessionId')
  @BackupVersionQuery('The backup from which to delete the key.')
  @SessionIdParam('The id of the megolm session whose key is to be deleted.')
  @RoomIdParam('The id of the room that the key is for.')
  @Operation({
    id: 'deleteRoomKeyBySessionId',
    summary: 'Delete a key from the backup.',
    description: 'Deletes one key. Succeeds without a change if the key does not exist.',
    ...deleted,
  })
  async deleteKey(@Req() incoming: Request) {
    const { userId, deviceId, version, roomId, sessionId } = RoomKeysRequest.of(incoming);
    return responses.keysState(
      await this.service.deleteKeys(userId, version, { roomId, sessionId }, null, deviceId),
    );
  }

  private async store({ userId, deviceId, version }: RoomKeysRequest, keys: RoomKey[]) {
    return responses.keysState(
      await this.service.putValidatedKeys(userId, version, keys, deviceId),
    );
  }
}
