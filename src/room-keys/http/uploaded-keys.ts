import type { IncomingMessage } from 'node:http';
import type { RoomKey } from '../room-key.js';
import { takeJsonBody, pathParameter } from './request-state.js';
import { allRoomsBody, oneKeyBody, oneRoomBody } from './room-keys.body.js';

type Shape = 'allRooms' | 'oneRoom' | 'oneKey';

/**
 * The body of an upload in one of its three shapes, as the list of keys that it holds.
 *
 * @throws 400 for a body of another shape, 413 `M_TOO_LARGE` for too many keys
 */
export function uploadedKeys(request: IncomingMessage, shape: Shape): RoomKey[] {
  const body = takeJsonBody(request);
  if (shape === 'allRooms') return allRoomsBody(body);
  const roomId = pathParameter(request, 'roomId');
  if (shape === 'oneRoom') return oneRoomBody(body, roomId);
  return oneKeyBody(body, roomId, pathParameter(request, 'sessionId'));
}
