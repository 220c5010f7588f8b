/** The JSON texts of our answers. Written by hand where they hold text that must not change. */
import type { Backup, KeysState, RoomKey } from '../room-key.js';

/** What keys are read from: a page at a time, and closed at the end. */
interface Pages {
  next(): Promise<RoomKey[] | undefined>;
  close(): Promise<void>;
}

export const nothing = () => '{}';

export const createdBackup = (version: string) => JSON.stringify({ version });

export const keysState = ({ count, etag }: KeysState) => JSON.stringify({ count, etag });

export const backup = ({ algorithm, authData, count, etag, version }: Backup) =>
  `{"algorithm":${JSON.stringify(algorithm)},"auth_data":${authData},"count":${count},` +
  `"etag":${JSON.stringify(etag)},"version":${JSON.stringify(version)}}`;

/** One key, without its ids. */
export const key = (key: RoomKey) =>
  `{"first_message_index":${key.firstMessageIndex},"forwarded_count":${key.forwardedCount},` +
  `"is_verified":${key.isVerified},"session_data":${key.sessionData}}`;

/** `{"rooms": {roomId: {"sessions": {sessionId: key}}}}`, where the keys of a room come together. */
export async function* allRooms(pages: Pages): AsyncGenerator<Buffer, void, undefined> {
  let room: string | undefined;
  yield* inPieces(pages, '{"rooms":{', (roomKey) => {
    const session = `${JSON.stringify(roomKey.sessionId)}:${key(roomKey)}`;
    if (roomKey.roomId === room) return `,${session}`;
    const opening = `${room === undefined ? '' : '}},'}${JSON.stringify(roomKey.roomId)}:{"sessions":{`;
    room = roomKey.roomId;
    return opening + session;
  });
  yield Buffer.from(room === undefined ? '}}' : '}}}}');
}

/** `{"sessions": {sessionId: key}}` */
export async function* oneRoom(pages: Pages): AsyncGenerator<Buffer, void, undefined> {
  let first = true;
  yield* inPieces(pages, '{"sessions":{', (roomKey) => {
    const comma = first ? '' : ',';
    first = false;
    return `${comma}${JSON.stringify(roomKey.sessionId)}:${key(roomKey)}`;
  });
  yield Buffer.from('}}');
}

/** One piece of text a page, the first with `opening`. */
async function* inPieces(
  pages: Pages,
  opening: string,
  text: (key: RoomKey) => string,
): AsyncGenerator<Buffer, void, undefined> {
  try {
    let before = opening;
    for (let page = await pages.next(); page; page = await pages.next()) {
      yield bytesOf([before, ...page.map(text)]);
      before = '';
    }
    yield Buffer.from(before);
  } finally {
    await pages.close();
  }
}

/** The longest character in UTF-8. */
const CHARACTER_BYTES = 4;

/** Texts as one: each is written where its bytes go, sooner than all are put together first. */
function bytesOf(texts: readonly string[]): Buffer {
  const length = texts.reduce((sum, text) => sum + text.length, 0);
  // room for one character more than there are: what has more bytes than characters is seen to
  const bytes = Buffer.allocUnsafe(length + CHARACTER_BYTES);
  let at = 0;
  for (const text of texts) {
    const written = bytes.write(text, at);
    // only an id can be anything but ASCII
    if (written !== text.length) return Buffer.from(texts.join(''));
    at += written;
  }
  return bytes.subarray(0, length);
}
