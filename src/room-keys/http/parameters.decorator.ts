/** What handlers are given. Custom parameters throughout: a host's global pipes leave those alone. */
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import type { BackupInformation, RoomKey } from '../room-key.js';
import type { TokenOwner } from '../room-keys-options.interface.js';
import { createBackupBody, updateBackupBody } from './backup-version.body.js';
import * as request from './request-state.js';
import { allRoomsBody, oneKeyBody, oneRoomBody } from './room-keys.body.js';

const requestOf = (context: ExecutionContext) => context.switchToHttp().getRequest<Request>();

/** Whose access token it is. */
export const Owner = createParamDecorator((_: unknown, context): TokenOwner =>
  request.tokenOwner(requestOf(context)),
);

/** A segment of the path, decoded and checked. */
export const PathParameter = createParamDecorator((name: request.PathParameter, context): string =>
  request.pathParameter(requestOf(context), name),
);

/** The query parameter `version`. */
export const BackupVersion = createParamDecorator((_: unknown, context): string =>
  request.versionParameter(requestOf(context)),
);

/** The body of an operation on versions. */
export const BackupBody = createParamDecorator(
  (operation: 'create' | 'update', context): BackupInformation => {
    const of = requestOf(context);
    const body = request.jsonBody(of);
    return operation === 'create'
      ? createBackupBody(body)
      : updateBackupBody(body, request.pathParameter(of, 'version'));
  },
);

/** The body of an upload in one of its three shapes, as the list of keys that it holds. */
export const KeysBody = createParamDecorator(
  (shape: 'allRooms' | 'oneRoom' | 'oneKey', context): RoomKey[] => {
    const of = requestOf(context);
    const body = request.jsonBody(of);
    if (shape === 'allRooms') return allRoomsBody(body);
    const roomId = request.pathParameter(of, 'roomId');
    if (shape === 'oneRoom') return oneRoomBody(body, roomId);
    return oneKeyBody(body, roomId, request.pathParameter(of, 'sessionId'));
  },
);
