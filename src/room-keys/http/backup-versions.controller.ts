import { Delete, Get, Post, Put, Req } from '@nestjs/common';
import type { Request } from 'express';
import { RoomKeysService } from '../room-keys.service.js';
import * as responses from './responses.js';
import { createBackupBody, updateBackupBody } from './bodies.js';
import {
  BackupDto,
  CreateBackupDto,
  CreatedBackupDto,
  UpdateBackupDto,
} from './backup-version.dto.js';
import { Operation, RoomKeysController, VersionParam } from './operation.decorator.js';
import { RoomKeysRequest } from './room-keys.request.js';

const unknownVersion = {
  description: 'The backup does not exist, or is deleted.',
  error: 'Unknown backup version',
};

/** The five operations on backups themselves. */
@RoomKeysController()
export class BackupVersionsController {
  constructor(private readonly service: RoomKeysService) {}

  @Post('version')
  @Operation({
    id: 'postRoomKeysVersion',
    summary: 'Create a new backup.',
    description: 'Creates a new backup, which becomes the current one.',
    body: { type: CreateBackupDto, description: 'The backup configuration.' },
    answer: CreatedBackupDto,
    answerDescription: 'The version id of the new backup.',
    badRequest: {
      description:
        'The body is not JSON (`M_NOT_JSON`) or has the wrong shape (`M_BAD_JSON`), or the server does not accept the algorithm (`M_INVALID_PARAM`).',
      errcode: 'M_BAD_JSON',
      error: 'auth_data must be an object',
    },
  })
  async create(@Req() incoming: Request) {
    const request = RoomKeysRequest.of(incoming);
    const { userId, deviceId } = request;
    const information = createBackupBody(request.takeBody());
    return responses.createdBackup(await this.service.createBackup(userId, information, deviceId));
  }

  @Get('version')
  @Operation({
    id: 'getRoomKeysVersionCurrent',
    summary: 'Get information about the current backup.',
    description: 'Gets the information about the newest backup that is not deleted.',
    answer: BackupDto,
    answerDescription: 'The information about the backup.',
    notFound: { description: 'No backup exists.', error: 'No current backup version' },
  })
  async getCurrent(@Req() incoming: Request) {
    const { userId } = RoomKeysRequest.of(incoming);
    return responses.backup(await this.service.currentBackup(userId));
  }

  @Get('version/:version')
  @VersionParam('The version id of the backup.')
  @Operation({
    id: 'getRoomKeysVersion',
    summary: 'Get information about an existing backup.',
    description:
      'Gets the information about any backup that is not deleted, not only the current one.',
    answer: BackupDto,
    answerDescription: 'The information about the backup.',
    notFound: unknownVersion,
  })
  async get(@Req() incoming: Request) {
    const { userId, version } = RoomKeysRequest.of(incoming);
    return responses.backup(await this.service.backup(userId, version));
  }

  @Put('version/:version')
  @VersionParam('The version id of the backup to update.')
  @Operation({
    id: 'putRoomKeysVersion',
    summary: 'Update information about an existing backup.',
    description:
      'Updates the information about an existing backup. Only `auth_data` can be changed.',
    body: { type: UpdateBackupDto, description: 'The backup configuration.' },
    answerDescription: 'The update succeeded.',
    badRequest: {
      description:
        'The body is not JSON or has the wrong shape, or a parameter is wrong: the `algorithm` is not that of the backup, or the `version` in the body not the one in the path.',
      errcode: 'M_INVALID_PARAM',
      error: 'Algorithm does not match',
    },
    notFound: unknownVersion,
  })
  async update(@Req() incoming: Request) {
    const request = RoomKeysRequest.of(incoming);
    const { userId, deviceId, version } = request;
    const information = updateBackupBody(request.takeBody(), version);
    return this.service
      .updateBackup(userId, version, information, deviceId)
      .then(responses.nothing);
  }

  @Delete('version/:version')
  @VersionParam('The version id of the backup to delete.')
  @Operation({
    id: 'deleteRoomKeysVersion',
    summary: 'Delete an existing backup.',
    description:
      'Deletes the information about a backup and all of its keys. The backup before it, if there is one, is current again; its version id is never used again.',
    answerDescription: 'The delete succeeded, or the backup had been deleted before.',
    notFound: { description: 'The backup never existed.', error: 'Unknown backup version' },
  })
  async delete(@Req() incoming: Request) {
    const { userId, deviceId, version } = RoomKeysRequest.of(incoming);
    return this.service.deleteBackup(userId, version, null, deviceId).then(responses.nothing);
  }
}
