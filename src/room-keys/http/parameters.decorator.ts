/** What handlers are given. Custom parameters throughout: a host's global pipes leave those alone. */
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Request } from 'express';
import type { BackupInformation, RoomKey } from '../room-key.js';
import { tooLarge } from '../room-keys.errors.js';
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

/**
 * The most keys that one request may hold: they are stored in one transaction, and SQLite stores it
 * while everybody else waits. Keys of real clients, 860 bytes each, are not that many in the largest
 * body that is taken by default; a client sends 100 at once, old ones 500.
 */
const MAX_KEYS = 20_000;

type Shape = 'allRooms' | 'oneRoom' | 'oneKey';

/** The body of an upload in one of its three shapes, as the list of keys that it holds. */
export const KeysBody = createParamDecorator((shape: Shape, context): RoomKey[] => {
  const keys = keysOf(requestOf(context), shape);
  if (keys.length <= MAX_KEYS) return keys;
  throw tooLarge(`The body holds ${keys.length} keys; a request may hold ${MAX_KEYS}.`);
});

function keysOf(of: Request, shape: Shape): RoomKey[] {
  const body = request.jsonBody(of);
  if (shape === 'allRooms') return allRoomsBody(body);
  const roomId = request.pathParameter(of, 'roomId');
  if (shape === 'oneRoom') return oneRoomBody(body, roomId);
  return oneKeyBody(body, roomId, request.pathParameter(of, 'sessionId'));
}
