/**
 * Proves over real connections how a body becomes JSON: whatever its content type says, compressed
 * or not, within the limits of size and depth, and that each body that cannot be read is refused
 * with the right error, which the client hears.
 */
import {
  createServer,
  type IncomingMessage,
  request,
  type RequestOptions,
  type Server,
} from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import type { Request } from 'express';
import { MatrixError } from '../room-keys.errors.js';
import { BodyMemoryLimit } from './body-memory-limit.js';
import { readJson } from './json-body.interceptor.js';
import type { JsonBody } from './room-keys.request.js';

const LIMIT = 2000;

let server: Server;
/** What to do with the request before its body is read. */
let before: (request: IncomingMessage) => void | Promise<void>;
/** How the reading of each request's body ended. */
let readings: Promise<JsonBody>[];
/** One for all requests of a test; else each has its own. */
let budget: BodyMemoryLimit | undefined;
let user: string;
let idleMs: number;

beforeAll(async () => {
  server = createServer((incoming, response) => {
    // readJson asks for no more of Express than Node's own classes have
    const reading = readAfter(before(incoming), incoming as Request);
    readings.push(reading);
    reading.then(
      (body) => response.end(JSON.stringify({ body })),
      (error: unknown) => {
        const known = error instanceof MatrixError;
        response.statusCode = known ? error.getStatus() : 500;
        response.end(JSON.stringify(known ? error.body : { failure: (error as Error).message }));
      },
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});

beforeEach(() => {
  before = () => undefined;
  readings = [];
  budget = undefined;
  user = '@alice:hs1';
  idleMs = 60_000;
});

afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function readAfter(ready: void | Promise<void>, incoming: Request) {
  if (ready) await ready;
  return readJson(incoming, bounds(LIMIT));
}

const bounds = (maxBytes: number) => ({
  maxBytes,
  idleMs,
  reservation: (budget ?? new BodyMemoryLimit({ maxBodyBytes: maxBytes })).open(user),
});

interface Answer {
  status: number | undefined;
  body: Record<string, unknown>;
}

function open(options: RequestOptions) {
  const { port } = server.address() as AddressInfo;
  return request({ host: '127.0.0.1', port, method: 'PUT', ...options });
}

/** Sends a body as it is: as one piece of known length, or as chunks. */
function send(
  body: string | Buffer | Buffer[],
  headers: Record<string, string> = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const chunks = Array.isArray(body) ? body : undefined;
    const whole = Array.isArray(body) ? undefined : Buffer.from(body);
    const outgoing = open({
      headers: whole ? { 'content-length': whole.length, ...headers } : headers,
    });
    outgoing.on('error', reject);
    outgoing.on('response', (incoming) => {
      incoming.setEncoding('utf8');
      let text = '';
      incoming.on('data', (piece: string) => (text += piece));
      incoming.on('end', () => {
        const body = JSON.parse(text) as Answer['body'];
        resolve({ status: incoming.statusCode, body });
      });
    });
    for (const chunk of chunks ?? []) outgoing.write(chunk);
    outgoing.end(whole);
  });
}

const read = (text: string): Answer => ({
  status: 200,
  body: { body: { text } },
});

const refused = (status: number, errcode: string): Answer => ({
  status,
  body: { errcode, error: expect.any(String) },
});

const notJson = refused(400, 'M_NOT_JSON');
const tooLarge = refused(413, 'M_TOO_LARGE');

describe('a body', () => {
  it.each([
    '{}',
    ' {"a" : [1, 2.50, "🔑"]}\n',
    '{"n":12345678901234567890,"a":1,"a":2}',
    '[]',
    '"text"',
    'null',
  ])('is read as JSON, and its text kept: %s', async (text) => {
    expect(await send(text)).toEqual(read(text));
  });

  it.each([
    undefined,
    'application/json',
    'application/json; charset=utf-8',
    'application/json; charset=iso-8859-1',
    'application/json; charset=utf-16',
    'application/json; charset="',
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'image/png',
    'nonsense',
    '',
  ])('is read as UTF-8 JSON whatever its content type is: %j', async (type) => {
    expect(await send('{"é":"🔑"}', type === undefined ? {} : { 'content-type': type })).toEqual(
      read('{"é":"🔑"}'),
    );
  });

  it('may come in chunks that split characters', async () => {
    const bytes = [...Buffer.from('{"é":"🔑"}')].map((byte) => Buffer.from([byte]));
    expect(await send(bytes)).toEqual(read('{"é":"🔑"}'));
  });

  it('may begin with a byte order mark, which is not part of its text', async () => {
    expect(await send('\ufeff{"a":1}')).toEqual(read('{"a":1}'));
  });
});

describe('no JSON', () => {
  it('is a request without a body', async () => {
    // Node gives a DELETE without a body neither a length nor chunks
    const answer = await new Promise((resolve, reject) => {
      const outgoing = open({ method: 'DELETE' });
      outgoing.on('error', reject).on('response', (incoming) => {
        incoming.resume().on('end', () => resolve(incoming.statusCode));
      });
      outgoing.end();
    });
    expect(answer).toBe(400);
    await expect(readings[0]).rejects.toMatchObject({ body: { errcode: 'M_NOT_JSON' } });
  });

  it.each([
    ['an empty body', ''],
    ['whitespace', ' \n'],
    ['a truncated body', '{"rooms":{"!r":{"sess'],
    ['a truncated string', '"secret'],
    ['text', 'secret'],
    ['a form', 'rooms=secret'],
    ['JavaScript', "{rooms:'secret'}"],
    ['a comma too many', '{"a":1,}'],
    ['two values', '{} {}'],
    ['a number that JSON does not have', '{"a":NaN}'],
    ['a control character in a string', '"\n"'],
    ['a byte order mark alone', '\ufeff'],
    ['two byte order marks', '\ufeff\ufeff{}'],
  ])('is %s', async (_, text) => {
    const answer = await send(text);
    expect(answer).toEqual(notJson);
    expect(answer.body.error).not.toContain('secret');
  });

  it('is a body of chunks of which there are none', async () => {
    expect(await send([])).toEqual(notJson);
  });

  it.each([
    ['a byte that UTF-8 does not have', [0xff]],
    ['half of a surrogate pair', [0xed, 0xa0, 0x80]],
    ['an overlong form', [0xc0, 0xaf]],
    ['a character that is cut off', [0xf0, 0x9f, 0x94]],
    ['a character of ISO 8859-1', [0xe9]],
    ['a character beyond Unicode', [0xf4, 0x90, 0x80, 0x80]],
  ])('is what is not UTF-8: %s', async (_, bytes) => {
    const quote = Buffer.from('"');
    expect(await send(Buffer.concat([quote, Buffer.from(bytes), quote]))).toEqual(notJson);
  });

  it.each(['\ufeff{"a":1}', '{"a":1}'])('is UTF-16', async (text) => {
    expect(await send(Buffer.from(text, 'utf16le'))).toEqual(notJson);
  });
});

describe('the depth and the breadth of a body', () => {
  const arrays = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
  const objects = (depth: number) => '{"":'.repeat(depth - 1) + '{}' + '}'.repeat(depth - 1);

  it('may be 1000 levels', async () => {
    for (const text of [arrays(1000), objects(1000)]) {
      expect((await readJsonOf(text)).text === text).toBe(true);
    }
  });

  it('may not be 1001 levels', async () => {
    for (const text of [arrays(1001), objects(1001), `{"a":${arrays(1000)}}`]) {
      await expect(readJsonOf(text)).rejects.toMatchObject({ body: { errcode: 'M_BAD_JSON' } });
    }
  });

  it('may not be 10,000 levels, closed or not', async () => {
    // beyond this server's limit: asked of the function behind it
    await expect(readJsonOf(arrays(10_000))).rejects.toMatchObject({
      body: { errcode: 'M_BAD_JSON' },
    });
    await expect(readJsonOf('['.repeat(1_000_000))).rejects.toMatchObject({
      body: { errcode: 'M_BAD_JSON' },
    });
  });

  it('does not count what is inside strings', async () => {
    const text = JSON.stringify({ a: '['.repeat(500), b: '\\"{'.repeat(200) });
    expect(await send(text)).toEqual(read(text));
  });

  it('counts levels inside each other, not beside each other', async () => {
    const text = `[${Array(300).fill('{}').join()}]`;
    expect(await send(text)).toEqual(read(text));
  });

  it('may not be a million values beside each other', async () => {
    const text = (values: number) => `[${'0,'.repeat(values - 2)}0]`;
    expect((await readJsonOf(text(1_000_000))).text === text(1_000_000)).toBe(true);
    await expect(readJsonOf(text(1_000_001))).rejects.toMatchObject({
      body: { errcode: 'M_TOO_LARGE' },
    });
  });

  /** Reads a body with a limit that it stays below. */
  async function readJsonOf(text: string): Promise<JsonBody> {
    let reading: Promise<JsonBody> | undefined;
    const large = createServer((incoming, response) => {
      reading = readJson(incoming as Request, bounds(text.length));
      reading.catch(() => undefined).finally(() => response.end());
    });
    await new Promise<void>((resolve) => large.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = large.address() as AddressInfo;
      await fetch(`http://127.0.0.1:${port}`, { method: 'PUT', body: text });
      return await reading!;
    } finally {
      large.closeAllConnections();
      large.close();
    }
  }
});

const encodings = [
  { encoding: 'gzip', compress: (text: string | Buffer) => gzipSync(text) },
  { encoding: 'deflate', compress: (text: string | Buffer) => deflateSync(text) },
  { encoding: 'br', compress: (text: string | Buffer) => brotli(text) },
];

describe('a compressed body', () => {
  describe.each(encodings)('with $encoding', ({ encoding, compress }) => {
    const headers = { 'content-encoding': encoding };

    it('is decompressed', async () => {
      expect(await send(compress('{"é":"🔑"}'), headers)).toEqual(read('{"é":"🔑"}'));
      expect(
        await send(compress('{"é":"🔑"}'), { 'content-encoding': encoding.toUpperCase() }),
      ).toEqual(read('{"é":"🔑"}'));
    });

    it('may come in chunks', async () => {
      const bytes = [...compress('{"é":"🔑"}')].map((byte) => Buffer.from([byte]));
      expect(await send(bytes, headers)).toEqual(read('{"é":"🔑"}'));
    });

    it('is refused when it is cut off', async () => {
      const whole = compress(JSON.stringify({ a: 'abc'.repeat(100) }));
      for (const length of [1, whole.length >> 1, whole.length - 1]) {
        expect(await send(whole.subarray(0, length), headers)).toEqual(notJson);
      }
    });

    it('is refused when it is not compressed at all', async () => {
      expect(await send('{"a":1}', headers)).toEqual(notJson);
    });

    it('is refused when it is empty', async () => {
      expect(await send('', headers)).toEqual(notJson);
      expect(await send(compress(''), headers)).toEqual(notJson);
    });

    it('is refused when it holds no JSON, or no UTF-8', async () => {
      expect(await send(compress('{"a"'), headers)).toEqual(notJson);
      expect(await send(compress(Buffer.from([0x22, 0xff, 0x22])), headers)).toEqual(notJson);
    });

    it('is refused when it decompresses to more than the limit', async () => {
      expect(await send(compress(padded(LIMIT)), headers)).toEqual(read(padded(LIMIT)));
      expect(await send(compress(padded(LIMIT + 1)), headers)).toEqual(tooLarge);
    });

    it('is refused when it is a bomb', async () => {
      const bomb = compress(Buffer.alloc(64 * 1024 * 1024));
      expect(bomb.length).toBeLessThan(64 * 1024 * 1.1);
      expect(await send(bomb, headers)).toEqual(tooLarge);
    });
  });

  it('is refused when its checksum is wrong', async () => {
    const bytes = gzipSync('{"a":1}');
    bytes.writeUInt32LE(0, bytes.length - 8);
    expect(await send(bytes, { 'content-encoding': 'gzip' })).toEqual(notJson);
  });

  it('is refused when it is compressed in another way than it says', async () => {
    expect(await send(gzipSync('{}'), { 'content-encoding': 'br' })).toEqual(notJson);
    expect(await send(deflateRawSync('{}'), { 'content-encoding': 'deflate' })).toEqual(notJson);
  });

  it('is no JSON when it does not say that it is compressed', async () => {
    expect(await send(gzipSync('{}'))).toEqual(notJson);
    expect(await send(gzipSync('{}'), { 'content-encoding': 'identity' })).toEqual(notJson);
  });

  it.each(['compress', 'x-gzip', 'gzip, gzip', 'utf-8', '*', 'GZ IP'])(
    'is refused when it is compressed in a way that nobody knows: %s',
    async (encoding) => {
      expect(await send('{}', { 'content-encoding': encoding })).toEqual(refused(415, 'M_UNKNOWN'));
    },
  );
});

describe('the limit', () => {
  it.each([
    ['of a body whose length is known', (text: string) => text],
    ['of a body in chunks', (text: string) => text.match(/.{1,7}/gs)!.map((it) => Buffer.from(it))],
  ])('%s is the last size that is taken', async (_, pieces) => {
    expect(await send(pieces(padded(LIMIT)))).toEqual(read(padded(LIMIT)));
    expect(await send(pieces(padded(LIMIT + 1)))).toEqual(tooLarge);
  });

  it('counts bytes, not characters', async () => {
    const text = `"${'é'.repeat((LIMIT - 2) / 2)}"`;
    expect(await send(text)).toEqual(read(text));
    expect(await send(`${text} `)).toEqual(tooLarge);
  });

  it('is reported to a client that sends a thousand times as much', async () => {
    const answer = await send(Buffer.alloc(LIMIT * 1000, ' '));
    expect(answer).toEqual(tooLarge);
    expect(answer.body.error).toContain(String(LIMIT));
  });

  it('is reported even if the body is not JSON', async () => {
    expect(await send('x'.repeat(LIMIT + 1))).toEqual(tooLarge);
  });
});

describe('the budget of bodies', () => {
  const busy = refused(503, 'M_UNKNOWN');
  const padding = padded(LIMIT);
  const sent: [string, string | Buffer | Buffer[], Record<string, string>][] = [
    ['of known length', padding, {}],
    ['in chunks', [Buffer.from(padding)], {}],
    ['that is compressed', gzipSync(padding), { 'content-encoding': 'gzip' }],
  ];

  it.each(sent)('holds a body %s by its bytes, and has no room for one more', async (...body) => {
    budget = new BodyMemoryLimit({ maxBodyBytes: LIMIT });
    const [, bytes, headers] = body;
    for (let n = 1; n <= 2; n++) {
      user = `@u${n}:hs1`;
      expect(await send(bytes, headers)).toEqual(read(padding));
      expect(budget.used).toBe(n * LIMIT);
    }
    user = '@u3:hs1';
    expect(await send(bytes, headers)).toEqual(busy);
    expect(await send('{}')).toEqual(read('{}'));
  });

  it('is not asked for what is larger than any body', async () => {
    budget = new BodyMemoryLimit({ maxBodyBytes: LIMIT });
    expect(await send(padded(LIMIT + 1))).toEqual(tooLarge);
    expect(budget.used).toBe(0);
  });

  it('refuses by its length a body of which nothing has come', async () => {
    budget = new BodyMemoryLimit({ maxBodyBytes: LIMIT });
    budget.open(user).reserve(LIMIT);
    const outgoing = open({ headers: { 'content-length': 1 } });
    outgoing.flushHeaders();
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    expect(answer.statusCode).toBe(503);
    outgoing.end('1');
  });
});

describe('the sender of a body', () => {
  it.each(['identity', 'gzip'])(
    'who sends nothing for too long is told 408, in the encoding %s',
    async (encoding) => {
      idleMs = 50;
      const outgoing = open({ headers: { 'content-length': 50, 'content-encoding': encoding } });
      outgoing.on('error', () => undefined);
      outgoing.write(gzipSync('{}').subarray(0, 5));
      const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
      expect(answer.statusCode).toBe(408);
      outgoing.destroy();
    },
  );

  it('may take its time as long as it sends', async () => {
    idleMs = 2000;
    const outgoing = open({ headers: { 'content-length': 25 } });
    const answered = once(outgoing, 'response') as Promise<[IncomingMessage]>;
    for (let n = 0; n < 25; n++) {
      outgoing.write(n === 0 ? '1' : ' ');
      await setTimeout(100);
    }
    const [answer] = await answered;
    expect(answer.statusCode).toBe(200);
  });
});

describe('the reading of a body', () => {
  it('fails if the host has already read it, which is not the client’s fault', async () => {
    before = async (incoming) => {
      const pieces: unknown[] = [];
      for await (const piece of incoming) pieces.push(piece);
      (incoming as Request).body = { rooms: {} };
    };
    const answer = await send('{"rooms":{}}');
    expect(answer.status).toBe(500);
    expect(answer.body.failure).toContain('was read before RoomKeysModule could');
  });

  it.each([{ encoding: 'identity', compress: Buffer.from }, ...encodings])(
    'ends when the client goes away in the middle of one in the encoding $encoding',
    async ({ encoding, compress }) => {
      let closed: Promise<unknown> | undefined;
      const arrived = new Promise<void>((resolve) => {
        before = (incoming) => {
          closed = new Promise((close) => incoming.on('close', close));
          resolve();
        };
      });
      const outgoing = open({ headers: { 'content-length': 1000, 'content-encoding': encoding } });
      outgoing.on('error', () => undefined);
      outgoing.write(compress('{"a":1}').subarray(0, 4));
      await arrived;
      outgoing.destroy();
      await closed;

      const outcomes: unknown[] = [];
      readings[0]!.catch((error: unknown) => outcomes.push(error));
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
      expect(outcomes).toEqual([expect.any(MatrixError)]);
    },
  );
});

/** Brotli's default compresses for its best, which takes seconds. */
function brotli(text: string | Buffer): Buffer {
  return brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 3 } });
}

/** JSON text of exactly so many bytes. */
function padded(bytes: number): string {
  return '{"a":1}'.padEnd(bytes);
}
