/** Where the operations are. */
export const ROOM_KEYS = '/_matrix/client/v3/room_keys';

/** The head of an upload of keys, to which a body belongs. */
export const uploadHead = (user: string, headers: string) =>
  `PUT ${ROOM_KEYS}/keys?version=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${user}\r\n${headers}\r\n\r\n`;
