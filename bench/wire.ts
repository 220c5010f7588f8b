import type { Key } from './keys.js';

/** A key as it stands in a request or an answer. */
export interface WireKey {
  first_message_index: number;
  forwarded_count: number;
  is_verified: boolean;
  session_data: Key['sessionData'];
}

export function wireKey({ firstMessageIndex, sessionData }: Key): WireKey {
  return {
    first_message_index: firstMessageIndex,
    forwarded_count: 0,
    is_verified: false,
    session_data: sessionData,
  };
}

/** The body of an upload of keys of any rooms. */
export function allRooms(keys: readonly Key[]) {
  const rooms: Record<string, { sessions: Record<string, WireKey> }> = {};
  for (const key of keys)
    (rooms[key.roomId] ??= { sessions: {} }).sessions[key.sessionId] = wireKey(key);
  return { rooms };
}

/** The path of one key, below `/keys/`. */
export const pathOf = ({ roomId, sessionId }: Pick<Key, 'roomId' | 'sessionId'>) =>
  `${encodeURIComponent(roomId)}/${encodeURIComponent(sessionId)}`;
