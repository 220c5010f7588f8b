/** What a server can be flooded with. */
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { keyData, roomsBody } from '../support/matrix-client.js';
import { uploadHead } from './paths.js';
import { type RawAnswer, RawConnection } from './raw-request.js';

const MIB = 1024 * 1024;
/** The largest body that is taken by default. */
const LARGEST = 16 * MIB;
/** How many bytes of bodies are in memory at once by default. */
export const AT_ONCE = 4 * LARGEST;

export interface Flood {
  what: string;
  /** All bodies together, decompressed, where that is less than the budget. */
  bytesInAll?: number;
  connections: number;
  headers: string;
  bytes: Buffer;
  /** Beside 503. */
  answers: number[];
}

/** Real keys, as many as the largest body holds. */
const realKeys = Buffer.from(JSON.stringify(batch(18_600)));
const tiny = '{},'.repeat(5_592_400);
const long = Buffer.from(
  JSON.stringify(
    roomsBody([['!r', 's', keyData({ session_data: { x: 'é'.repeat(LARGEST / 2 - 100) } })]]),
  ),
);
export const floods: Flood[] = [
  {
    what: 'of as many real keys as fit',
    connections: 60,
    headers: `Content-Length: ${realKeys.length}`,
    bytes: realKeys,
    answers: [200],
  },
  {
    what: 'that just do not count as large',
    connections: 300,
    headers: `Content-Length: ${MIB}`,
    bytes: Buffer.from(JSON.stringify(batch(1_200)).padEnd(MIB)),
    answers: [200],
  },
  {
    what: 'of millions of tiny values',
    connections: 60,
    headers: `Content-Length: ${tiny.length + 8}`,
    bytes: Buffer.from(`{"x":[${tiny.slice(0, -1)}]} `),
    answers: [413],
  },
  {
    what: 'of characters that are longer in the database',
    connections: 40,
    headers: `Content-Length: ${long.length}`,
    bytes: long,
    answers: [200, 413, 503],
  },
  {
    what: 'that are sent byte by byte',
    bytesInAll: 10 * (MIB / 4),
    connections: 10,
    headers: 'Transfer-Encoding: chunked',
    bytes: Buffer.from(`${'1\r\n \r\n'.repeat(MIB / 4)}0\r\n\r\n`),
    answers: [400],
  },
  {
    what: 'that are compressed bombs',
    connections: 60,
    headers: 'Content-Encoding: gzip\r\nTransfer-Encoding: chunked',
    bytes: inChunks(gzipSync(Buffer.alloc(LARGEST - 1, ' '))),
    answers: [400],
  },
  {
    what: 'that are larger bombs of another kind',
    connections: 60,
    headers: 'Content-Encoding: br\r\nTransfer-Encoding: chunked',
    bytes: inChunks(
      brotliCompressSync(Buffer.alloc(20 * LARGEST), {
        params: { [constants.BROTLI_PARAM_QUALITY]: 3 },
      }),
    ),
    answers: [413],
  },
];

export function batch(count: number, name = 's') {
  const sessionData = {
    ephemeral: 'e'.repeat(43),
    ciphertext: 'c'.repeat(640),
    mac: 'm'.repeat(11),
  };
  return roomsBody(
    Array.from({ length: count }, (_, n) => {
      const session = `${name}${n}`.padEnd(43, '=');
      return [`!room${n % 5}:hs1`, session, keyData({ session_data: sessionData })] as const;
    }),
  );
}

function inChunks(bytes: Buffer): Buffer {
  const size = Buffer.from(`${bytes.length.toString(16)}\r\n`);
  return Buffer.concat([size, bytes, Buffer.from('\r\n0\r\n\r\n')]);
}

/** Sends the body of one user; reads the answer as soon as there is one. */
export async function attack(
  url: string,
  user: string,
  { headers, bytes }: Flood,
): Promise<RawAnswer> {
  const connection = new RawConnection(url);
  await connection.send(uploadHead(user, headers));
  for (let at = 0; at < bytes.length && !connection.isAnswered; at += 65_536) {
    await connection.send(bytes.subarray(at, at + 65_536));
  }
  const answer = await connection.answer();
  connection.close();
  return answer;
}
