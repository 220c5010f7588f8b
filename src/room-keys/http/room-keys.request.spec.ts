/**
 * Proves how the parts of a request are read from its path and query, and that what is cached of
 * one request is never taken for another's.
 */
import type { IncomingMessage } from 'node:http';
import fc from 'fast-check';
import { MatrixError } from '../room-keys.errors.js';
import { type PathParameter, RoomKeysRequest } from './room-keys.request.js';

const request = (url?: string) => ({ url, headers: {} }) as IncomingMessage;

/** A request whose path has these segments, as they are. */
function requestWith(segments: Record<string, string>): IncomingMessage {
  const made = request('/');
  RoomKeysRequest.of(made).segments = segments;
  return made;
}

const pathParameter = (made: IncomingMessage, name: PathParameter) =>
  RoomKeysRequest.of(made)[name];
const versionParameter = (made: IncomingMessage) => RoomKeysRequest.of(made).version;

/** The error that the call ends with. */
function refusal(read: () => unknown): { status: number; errcode: string; error: string } {
  try {
    read();
  } catch (error) {
    if (!(error instanceof MatrixError)) throw error;
    const { errcode, error: text } = error.body;
    return { status: error.getStatus(), errcode, error: text };
  }
  throw new Error('The request was accepted.');
}

const refused = (errcode: string, naming: string) => ({
  status: 400,
  errcode,
  error: expect.stringContaining(naming) as string,
});

describe.each(['roomId', 'sessionId'] as const)('the %s in a path', (name) => {
  const read = (raw: string) => pathParameter(requestWith({ [name]: raw }), name);

  it('is decoded', () => {
    const id = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 63 })
      .filter((text) => Buffer.byteLength(text) <= 255);
    fc.assert(fc.property(id, (text) => expect(read(encodeURIComponent(text))).toBe(text)));
  });

  it.each([
    ['!room:example.org', '!room:example.org'],
    ['%21room%3aexample.org', '!room:example.org'],
    ['a+b', 'a+b'],
    ['a%2Bb%2fc%3D%25', 'a+b/c=%'],
    ['%2541', '%41'],
    ['__proto__', '__proto__'],
    ['constructor', 'constructor'],
    ['..', '..'],
    ['%00', '\0'],
    ['%20', ' '],
    ['é', 'é'],
  ])('is decoded once: %s', (raw, id) => {
    expect(read(raw)).toBe(id);
  });

  it.each(['%', '%z', '%2', 'a%', '%FF', '%C3', '%ED%A0%80', '%C0%AF', '%F4%90%80%80', '%u0041'])(
    'is refused when it is not percent-encoded UTF-8: %s',
    (raw) => {
      expect(refusal(() => read(raw))).toEqual(
        refused('M_INVALID_PARAM', `The ${name} in the path is not percent-encoded UTF-8`),
      );
    },
  );

  it('may have 255 bytes, and no more', () => {
    for (const unit of ['a', 'é', '🔑']) {
      const size = Buffer.byteLength(unit);
      const longest = unit.repeat(Math.floor(255 / size));
      expect(read(encodeURIComponent(longest))).toBe(longest);
      expect(refusal(() => read(encodeURIComponent(longest + unit)))).toEqual(
        refused('M_INVALID_PARAM', `The ${name} in the path is longer than 255 bytes`),
      );
    }
  });

  it('is refused when it is empty or missing', () => {
    const empty = refused('M_INVALID_PARAM', `The ${name} in the path is empty`);
    expect(refusal(() => read(''))).toEqual(empty);
    expect(refusal(() => pathParameter(requestWith({}), name))).toEqual(empty);
    expect(refusal(() => pathParameter(request('/'), name))).toEqual(empty);
  });
});

describe('the version in a path', () => {
  it.each([
    ['1', '1'],
    ['%31', '1'],
    ['01', '01'],
    ['%20', ' '],
    ['', ''],
    ['%', '%'],
    ['%FF', '%FF'],
    ['9'.repeat(300), '9'.repeat(300)],
  ])('is never refused, being at worst the name of no backup: %s', (raw, version) => {
    expect(pathParameter(requestWith({ version: raw }), 'version')).toBe(version);
  });
});

describe('the version in a query', () => {
  it.each([
    ['?version=1', '1'],
    ['?a=b&version=12&c', '12'],
    ['?version=%31', '1'],
    ['?version=01', '01'],
    ['?version=+1', ' 1'],
    ['?version=1?version=2', '1?version=2'],
    ['?versio%6E=1', '1'],
    ['?version[]=1&version=2', '2'],
    ['?version=%FF', '\ufffd'],
    ['?version=a%', 'a%'],
  ])('is read: %s', (query, version) => {
    expect(versionParameter(request(`/keys${query}`))).toBe(version);
  });

  it.each(['', '?', '?version', '?version=', '?Version=1', '?version[]=1', '?a=version=1'])(
    'is missing in %j',
    (query) => {
      expect(refusal(() => versionParameter(request(`/version=1${query}`)))).toEqual(
        refused('M_MISSING_PARAM', "'version'"),
      );
    },
  );

  it('is missing in a request without a URL', () => {
    expect(refusal(() => versionParameter(request()))).toEqual(
      refused('M_MISSING_PARAM', "'version'"),
    );
  });

  it.each([
    '?version=1&version=2',
    '?version=1&version=1',
    '?version=&version=1',
    '?version=1&version',
    '?version=1&a=b&versio%6E=1',
  ])('is refused when it is given twice: %s', (query) => {
    expect(refusal(() => versionParameter(request(`/keys${query}`)))).toEqual(
      refused('M_INVALID_PARAM', "'version'"),
    );
  });
});

describe('what is cached of a request', () => {
  it('is what was said of that request, and of no other', () => {
    const [one, other] = [request('/'), request('/')];
    for (const [name, made] of Object.entries({ one, other })) {
      const taken = RoomKeysRequest.of(made);
      taken.segments = { version: name };
      taken.owner = { userId: name };
      taken.body = { text: `"${name}"` };
    }
    for (const [name, made] of Object.entries({ one, other })) {
      expect(pathParameter(made, 'version')).toBe(name);
      expect(RoomKeysRequest.of(made).userId).toBe(name);
      expect(RoomKeysRequest.of(made).takeBody()).toEqual({ text: `"${name}"` });
    }
  });

  it('is not what a middleware of the host writes on the request', () => {
    const made = requestWith({ roomId: 'ours' });
    Object.assign(made, {
      params: { roomId: 'theirs', version: '2' },
      query: { version: '2' },
      user: { userId: 'theirs' },
      body: {},
    });
    expect(pathParameter(made, 'roomId')).toBe('ours');
    expect(refusal(() => versionParameter(made)).errcode).toBe('M_MISSING_PARAM');
    expect(() => RoomKeysRequest.of(made).userId).toThrow('AccessTokenGuard');
    expect(() => RoomKeysRequest.of(made).takeBody()).toThrow('JsonBodyInterceptor');
  });

  it('can be an empty body, which is a body all the same', () => {
    const made = request('/');
    RoomKeysRequest.of(made).body = { text: 'null' };
    expect(RoomKeysRequest.of(made).takeBody()).toEqual({ text: 'null' });
  });
});
