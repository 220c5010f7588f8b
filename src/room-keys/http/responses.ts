/** The responses: their JSON texts, written by hand where they hold text that must not change, and how they are sent. */
import { pipeline } from 'node:stream/promises';
import type { Response } from 'express';
import type { Backup, KeyId, KeyRank, KeysState, RoomKey, StoredKeys } from '../room-key.js';
import type { MatrixError } from '../room-keys.errors.js';
import { RoomKeysRequest } from './room-keys.request.js';

/** What keys are read from: a page at a time, and closed at the end. */
interface Pages {
  nextPage(): Promise<StoredKeys | undefined>;
  close(): Promise<void>;
}

export const nothing = () => '{}';

export const createdBackup = (version: string) => JSON.stringify({ version });

export const keysState = ({ count, etag }: KeysState) => JSON.stringify({ count, etag });

export const backup = ({ algorithm, authData, count, etag, version }: Backup) =>
  `{"algorithm":${JSON.stringify(algorithm)},"auth_data":${authData},"count":${count},` +
  `"etag":${JSON.stringify(etag)},"version":${JSON.stringify(version)}}`;

/** One key, without its ids. */
export const key = (key: RoomKey) => `${rank(key)}${key.sessionData}}`;

/** The members before `session_data`. */
const rank = ({ firstMessageIndex, forwardedCount, isVerified }: KeyRank) =>
  `{"first_message_index":${firstMessageIndex},"forwarded_count":${forwardedCount},` +
  `"is_verified":${isVerified},"session_data":`;

/** `{"rooms": {roomId: {"sessions": {sessionId: key}}}}`, where the keys of a room come together. */
export async function* allRooms(pages: Pages): AsyncGenerator<Buffer, void, undefined> {
  let room: string | undefined;
  yield* inPieces(pages, '{"rooms":{', ({ roomId }) => {
    if (roomId === room) return ',';
    const opening = `${room === undefined ? '' : '}},'}${JSON.stringify(roomId)}:{"sessions":{`;
    room = roomId;
    return opening;
  });
  yield Buffer.from(room === undefined ? '}}' : '}}}}');
}

/** `{"sessions": {sessionId: key}}` */
export async function* oneRoom(pages: Pages): AsyncGenerator<Buffer, void, undefined> {
  let isFirst = true;
  yield* inPieces(pages, '{"sessions":{', () => {
    const comma = isFirst ? '' : ',';
    isFirst = false;
    return comma;
  });
  yield Buffer.from('}}');
}

/**
 * One piece a page, the first with `opening`.
 *
 * @param before what comes before the session of a key
 */
async function* inPieces(
  pages: Pages,
  opening: string,
  before: (key: KeyId) => string,
): AsyncGenerator<Buffer, void, undefined> {
  try {
    let start = opening;
    for (let page = await pages.nextPage(); page; page = await pages.nextPage()) {
      yield sessions(page, (key) => {
        const text = start + before(key);
        start = '';
        return text;
      });
    }
    yield Buffer.from(start);
  } finally {
    await pages.close();
  }
}

/** Keys as members of `sessions`. What is opaque is copied, and never a string. */
function sessions(keys: StoredKeys, before: (key: KeyId) => string): Buffer {
  const heads: string[] = [];
  let length = 0;
  for (let n = 0; n < keys.length; n++) {
    const key = keys.idAndRank(n);
    const head = `${before(key)}${JSON.stringify(key.sessionId)}:${rank(key)}`;
    heads.push(head);
    length += Buffer.byteLength(head) + keys.dataLength(n) + 1;
  }
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  heads.forEach((head, n) => {
    at += bytes.write(head, at);
    at += keys.copyData(n, bytes, at);
    bytes[at++] = CLOSE_BRACE;
  });
  return bytes;
}

const CLOSE_BRACE = 0x7d;

/** Every answer carries these, errors too: a browser passes no other on to the client. */
export const CORS = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Allow-Methods': 'GET, POST, PUT, DELETE, OPTIONS',
  'Access-Control-Allow-Headers': 'X-Requested-With, Content-Type, Authorization',
  'Access-Control-Expose-Headers': 'Retry-After',
};

/** Writes the head, with what all answers carry, whatever a host's middleware has set before. */
export function writeHead(response: Response, status: number, headers: object): void {
  response.removeHeader('Access-Control-Allow-Credentials');
  if (RoomKeysRequest.of(response.req).closesAfter(status))
    response.setHeader('Connection', 'close');
  response.writeHead(status, { ...CORS, ...headers });
}

const JSON_HEADERS = {
  'Content-Type': 'application/json; charset=utf-8',
  // Responses to requests with an access token must not be cached.
  'Cache-Control': 'no-store',
};

/**
 * An answer's body: JSON text, whole or as it comes. The pieces are not bare, since Nest would take
 * them for a stream of its own to send, and end them when an interceptor of the host fails.
 */
export type JsonText = string | { pieces: AsyncGenerator<Buffer, void, undefined> };

/** How long a client may take nothing of an answer: until it is over, a restore holds a connection to the database. */
const STALLED_MS = 30_000;

/**
 * Sends 200 with JSON text; text in pieces is read only as fast as the client receives it.
 *
 * @param stalledMs how long the client may take nothing of it, in milliseconds
 * @returns when the answer has begun
 * @throws errors to be sent as an error response
 */
export async function sendJson(
  response: Response,
  body: JsonText,
  stalledMs = STALLED_MS,
): Promise<{ rest: Promise<void> }> {
  if (typeof body === 'string') {
    sendText(response, 200, body);
    return { rest: Promise.resolve() };
  }
  const { pieces } = body;
  try {
    // Before the head, so that a failure up to here is still answered as an error.
    const first = await pieces.next();
    writeHead(response, 200, JSON_HEADERS);
    if (response.req.method === 'HEAD') {
      response.end();
      await pieces.return();
      return { rest: Promise.resolve() };
    }
    // Node ends a connection on which nothing moved for this long, or up to twice as long, since it
    // looks at what is queued once; after the answer it sets its own time.
    response.socket?.setTimeout(stalledMs);
    if (!first.done) response.write(counted(response, first.value));
  } catch (error) {
    // also when the client, or a host's time limit, gave up before it began
    await pieces.return();
    throw error;
  }
  const rest = pipeline(
    pieces,
    async function* (rest) {
      for await (const piece of rest) yield counted(response, piece);
    },
    response,
  );
  return { rest: rest.finally(() => pieces.return()) };
}

/** Sends an error with its own status, body and headers. */
export function sendError(response: Response, error: MatrixError): void {
  for (const [name, value] of Object.entries(error.headers)) response.setHeader(name, value);
  sendText(response, error.getStatus(), JSON.stringify(error.body));
}

function sendText(response: Response, status: number, text: string): void {
  const bytes = Buffer.from(text);
  writeHead(response, status, { ...JSON_HEADERS, 'Content-Length': bytes.length });
  response.end(response.req.method === 'HEAD' ? undefined : counted(response, bytes));
}

/** Counts the bytes sent of a body, for the observer. */
function counted(response: Response, bytes: Buffer): Buffer {
  RoomKeysRequest.of(response.req).bytes.response += bytes.length;
  return bytes;
}
