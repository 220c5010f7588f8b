import type { IncomingMessage } from 'node:http';
import type { RoomKey } from '../room-key.js';
import { tooLarge } from '../room-keys.errors.js';
import { jsonBody, pathParameter } from './request-state.js';
import { allRoomsBody, oneKeyBody, oneRoomBody } from './room-keys.body.js';

/**
 * The most keys that one request may hold: they are stored in one transaction, and SQLite stores it
 * while everybody else waits. Keys of real clients, 860 bytes each, are not that many in the largest
 * body that is taken by default; a client sends 100 at once, old ones 500.
 */
const MAX_KEYS = 20_000;

type Shape = 'allRooms' | 'oneRoom' | 'oneKey';

/**
 * The body of an upload in one of its three shapes, as the list of keys that it holds.
 *
 * @throws 400 for a body of another shape, 413 `M_TOO_LARGE` for too many keys
 */
export function uploadedKeys(request: IncomingMessage, shape: Shape): RoomKey[] {
  const keys = keysOf(request, shape);
  if (keys.length <= MAX_KEYS) return keys;
  throw tooLarge(`The body holds ${keys.length} keys; a request may hold ${MAX_KEYS}.`);
}

function keysOf(request: IncomingMessage, shape: Shape): RoomKey[] {
  const body = jsonBody(request);
  if (shape === 'allRooms') return allRoomsBody(body);
  const roomId = pathParameter(request, 'roomId');
  if (shape === 'oneRoom') return oneRoomBody(body, roomId);
  return oneKeyBody(body, roomId, pathParameter(request, 'sessionId'));
}
