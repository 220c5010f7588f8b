/**
 * Proves over raw sockets that a body which is refused, wherever in it, does not leave its connection dead: the next request
 * on it is answered, or the answer says that the connection is closed, and it is.
 */
import { brotliCompressSync, constants, deflateSync, gzipSync } from 'node:zlib';
import { startApplication, type TestApplication } from '../support/application.js';
import { databases, type TestDatabase } from '../support/databases.js';
import { uploadHead } from './paths.js';
import { type RawAnswer, RawConnection } from './raw-request.js';

const MIB = 1024 * 1024;
/** The largest body that is taken here. */
const LARGEST = MIB;
/** Far more than an answer takes, far less than the 30 seconds for which connections were dead. */
const AT_ONCE_MS = 25_000;

const NEXT =
  'GET /_matrix/client/v3/room_keys/version HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer alice\r\n\r\n';

/** What a body becomes that is far larger than any may be. */
const bomb = Buffer.alloc(200 * MIB, ' ');
/** Of what cannot be compressed, so that its bytes come in many pieces. */
const noise = Buffer.alloc(LARGEST / 2);
for (let at = 0, state = 1; at < noise.length; at++) {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0;
  noise[at] = state >>> 24;
}
const brotli = (bytes: Buffer) =>
  brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 3 } });
const encodings: [encoding: string, compress: (bytes: Buffer) => Buffer][] = [
  ['gzip', gzipSync],
  ['deflate', deflateSync],
  ['br', brotli],
];

interface Refused {
  what: string;
  encoding: string;
  body: Buffer;
  status: number;
  /** Whether so many bytes of bodies are in memory that there is no room for this one. */
  isBusy?: boolean;
  /** The length that the head says, where it is not that of the body. */
  length?: number;
}

const padding = Buffer.alloc(LARGEST / 2, ' ');
const refused: Refused[] = [
  ...encodings.flatMap(([encoding, compress]): Refused[] => {
    const compressed = compress(noise);
    return [
      { what: `a ${encoding} bomb`, encoding, body: compress(bomb), status: 413 },
      {
        what: `a truncated ${encoding}`,
        encoding,
        body: compressed.subarray(0, compressed.length / 2),
        status: 400,
      },
      {
        what: `${encoding} that turns into garbage`,
        encoding,
        body: Buffer.concat([compressed.subarray(0, 1000), padding]),
        status: 400,
      },
      {
        what: `garbage after ${encoding}`,
        encoding,
        body: Buffer.concat([compressed, padding]),
        status: 400,
      },
      {
        what: `${encoding} without room in memory`,
        encoding,
        body: compressed,
        status: 503,
        isBusy: true,
      },
      {
        what: `${encoding} that stops coming`,
        encoding,
        body: compressed.subarray(0, 1000),
        length: compressed.length,
        status: 408,
      },
    ];
  }),
  {
    what: 'a body without room in memory',
    encoding: 'identity',
    body: padding,
    status: 503,
    isBusy: true,
  },
  {
    what: 'a body that is too large',
    encoding: 'identity',
    body: Buffer.alloc(2 * LARGEST, ' '),
    status: 413,
  },
  {
    what: 'a body that is far too large',
    encoding: 'identity',
    body: Buffer.alloc(64 * LARGEST, ' '),
    status: 413,
  },
  { what: 'a body that is not JSON', encoding: 'identity', body: Buffer.from('x'), status: 400 },
  {
    what: 'a body that stops coming',
    encoding: 'identity',
    body: padding,
    length: LARGEST,
    status: 408,
  },
  { what: 'an unknown encoding', encoding: 'zip', body: padding, status: 415 },
];

describe('after a refused body', () => {
  let database: TestDatabase;
  let application: TestApplication;
  let connections: RawConnection[];

  beforeAll(async () => {
    database = await databases[0]!.create();
    application = await startApplication(database, {
      maxBodyBytes: LARGEST,
      maxBodyBytesAtOnce: 2 * LARGEST,
      bodyIdleTimeoutMs: 1000,
    });
    await application.client('alice').createBackup();
  });
  afterAll(async () => {
    await application.close();
    await database.drop();
  });
  beforeEach(() => {
    connections = [];
  });
  afterEach(() => {
    for (const connection of connections) connection.close();
  });

  function connect(): RawConnection {
    const connection = new RawConnection(application.url);
    connections.push(connection);
    return connection;
  }

  /** Has half of the memory for bodies taken by another user, who goes on sending. */
  async function keepBusy(): Promise<void> {
    const other = connect();
    await other.send(uploadHead('bob', `Content-Length: ${LARGEST}`));
    const sending = setInterval(() => void other.send(' '), 100);
    void other.closed.then(() => {
      clearInterval(sending);
    });
    // until it has arrived
    await new Promise((resolve) => setTimeout(resolve, 200));
  }

  async function atOnce<T>(event: Promise<T>, what: string): Promise<T> {
    let patience: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      patience = setTimeout(() => {
        reject(new Error(`${what} took more than ${AT_ONCE_MS} ms`));
      }, AT_ONCE_MS);
    });
    return Promise.race([event, late]).finally(() => {
      clearTimeout(patience);
    });
  }

  async function expectNext(
    connection: RawConnection,
    { headers }: RawAnswer,
    call: () => Promise<void>,
  ) {
    if (headers.connection === 'close') {
      await atOnce(connection.closed, 'the end of the connection');
      expect(connection.unread).toBe('');
      return;
    }
    await call();
    const next = await atOnce(connection.answer(), 'the answer to the next request');
    expect(next.status).toBe(200);
  }

  const head = ({ encoding, body, length = body.length }: Refused, isChunked: boolean) =>
    uploadHead(
      'alice',
      `Content-Encoding: ${encoding}\r\n${isChunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`}`,
    );
  /** The last chunk is missing where the body stops coming. */
  const chunked = ({ body, length }: Refused) => {
    const end = length === undefined ? '0\r\n\r\n' : '';
    return [`${body.length.toString(16)}\r\n`, body, `\r\n${end}`];
  };

  describe.each([
    ['of known length', false],
    ['in chunks', true],
  ])('%s', (_, isChunked) => {
    it.each(refused)('the connection is of use, or closed: $what', async (one) => {
      if (one.isBusy) await keepBusy();
      const connection = connect();
      await connection.send(head(one, isChunked));
      for (const bytes of isChunked ? chunked(one) : [one.body]) await connection.send(bytes);
      const answer = await atOnce(connection.answer(), 'the answer');
      expect(answer.status).toBe(one.status);
      await expectNext(connection, answer, () => connection.send(NEXT));
    });

    it.each(refused.filter(({ length }) => length === undefined))(
      'the next request, which is sent before the answer, is answered, or the connection closed: $what',
      async (one) => {
        if (one.isBusy) await keepBusy();
        const connection = connect();
        const bytes = isChunked ? chunked(one) : [one.body];
        connection.socket.write(
          Buffer.concat([head(one, isChunked), ...bytes, NEXT].map((part) => Buffer.from(part))),
        );
        const answer = await atOnce(connection.answer(), 'the answer');
        expect(answer.status).toBe(one.status);
        await expectNext(connection, answer, () => Promise.resolve());
      },
    );
  });
});
