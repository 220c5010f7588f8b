/**
 * Proves where the access token is looked for, that each outcome of the host's verifier has its
 * answer (a failure is 503, never the 401 on which clients log their user out), and that no token
 * reaches the log.
 */
import type { IncomingMessage } from 'node:http';
import { type ExecutionContext, Logger } from '@nestjs/common';
import fc from 'fast-check';
import { MatrixError, unknownToken } from '../room-keys.errors.js';
import type { AccessTokenVerifier, TokenOwner } from '../room-keys-options.interface.js';
import { AccessTokenGuard } from './guards.js';
import { RoomKeysRequest } from './room-keys.request.js';

const tokenOwner = (request: IncomingMessage) => RoomKeysRequest.of(request).requiredOwner;

const PATH = '/_matrix/client/v3/room_keys/version';

const requestWith = (authorization: string | undefined, url = PATH) =>
  ({ url, headers: { authorization } }) as IncomingMessage;

const withToken = (token: string) => requestWith(`Bearer ${token}`);

const contextOf = (request: IncomingMessage) =>
  ({ switchToHttp: () => ({ getRequest: () => request }) }) as ExecutionContext;

/** A verifier of a host that goes by no types. */
type Verifier = (token: string, request: IncomingMessage) => unknown;

/** Asks the guard. */
function call(request: IncomingMessage, verifyAccessToken: Verifier) {
  const options = { verifyAccessToken: verifyAccessToken as AccessTokenVerifier };
  return new AccessTokenGuard(options).canActivate(contextOf(request));
}

/** The error that the guard answers with. */
async function refusal(request: IncomingMessage, verify: Verifier) {
  try {
    await call(request, verify);
  } catch (error) {
    if (error instanceof MatrixError) return { status: error.getStatus(), ...error.body };
    return { failure: error };
  }
  throw new Error('The guard let the request through.');
}

const UNAVAILABLE = { status: 503, errcode: 'M_UNKNOWN', error: expect.any(String) as string };

let logged: string[];

beforeEach(() => {
  logged = [];
  const keep = (...parts: unknown[]) => logged.push(parts.map(String).join(' '));
  // every level: what is logged is to be safe wherever it is logged
  Logger.overrideLogger({
    log: keep,
    error: keep,
    warn: keep,
    debug: keep,
    verbose: keep,
    fatal: keep,
  });
});

afterAll(() => {
  Logger.overrideLogger(true);
});

describe('the access token', () => {
  /** The token that the verifier is asked about; undefined when it is not asked. */
  async function tokenOf(request: IncomingMessage): Promise<string | undefined> {
    let asked: string | undefined;
    const verify: AccessTokenVerifier = (token) => {
      asked = token;
      return { userId: '@a:b' };
    };
    await call(request, verify).catch(() => undefined);
    return asked;
  }

  it.each([
    'Bearer t0ken',
    'bearer t0ken',
    'BEARER t0ken',
    'bEaReR t0ken',
    'Bearer   t0ken',
    'Bearer t0ken  ',
  ])('comes from the header: %j', async (header) => {
    expect(await tokenOf(requestWith(header))).toBe('t0ken');
  });

  it('is whatever stands after the scheme', async () => {
    const visible = fc.string({
      unit: fc
        .integer({ min: 0x21, max: 0xff })
        .filter((code) => code < 0x7f || code > 0xa0)
        .map((code) => String.fromCharCode(code)),
      minLength: 1,
    });
    await fc.assert(
      fc.asyncProperty(visible, async (token) => {
        expect(await tokenOf(withToken(token))).toBe(token);
      }),
    );
  });

  it.each([
    ['?access_token=t0ken', 't0ken'],
    ['?version=1&access_token=t0ken', 't0ken'],
    ['?access_token=a%2Bb%2F%3D', 'a+b/='],
    ['?access_token=t0ken&access_token=other', 't0ken'],
    ['?access%5Ftoken=t0ken', 't0ken'],
  ])('else comes from the query: %s', async (query, token) => {
    expect(await tokenOf(requestWith(undefined, PATH + query))).toBe(token);
  });

  it.each(['Basic dXNlcjpwYXNz', 'Bearer', 'Bearer ', 'Bearer a b', 'Bearert0ken', ' ', 't0ken'])(
    'comes from the query where the header holds none: %j',
    async (header) => {
      expect(await tokenOf(requestWith(header, `${PATH}?access_token=query`))).toBe('query');
    },
  );

  it('comes from the header where there are two', async () => {
    expect(await tokenOf(requestWith('Bearer header', `${PATH}?access_token=query`))).toBe(
      'header',
    );
  });

  it.each([
    [undefined, PATH],
    ['', PATH],
    ['Bearer', PATH],
    ['Bearer    ', PATH],
    ['Basic dXNlcjpwYXNz', PATH],
    ['Bearer a b', PATH],
    [undefined, `${PATH}?access_token=`],
    [undefined, `${PATH}?access_token`],
    [undefined, `${PATH}?Access_Token=t0ken`],
    [undefined, `${PATH}/access_token=t0ken`],
  ])('is missing in %j to %s: 401, and nobody is asked', async (header, url) => {
    let asked = 0;
    expect(await refusal(requestWith(header, url), () => asked++)).toEqual({
      status: 401,
      errcode: 'M_MISSING_TOKEN',
      error: expect.any(String),
    });
    expect(asked).toBe(0);
  });
});

describe('a verifier', () => {
  const owners: TokenOwner[] = [
    { userId: '@alice:example.org' },
    { userId: '@alice:example.org', deviceId: 'PHONE' },
    { userId: '@alice:example.org', deviceId: undefined, isGuest: false },
    // columns of a database that can be null
    { userId: '@alice:example.org', deviceId: null, isGuest: null, isRateLimited: null },
    { userId: 'a'.repeat(255), deviceId: 'é'.repeat(127) },
    { userId: '🔑' },
  ];

  it.each(owners)('that knows the owner lets the request through: %j', async (owner) => {
    const request = withToken('t0ken');
    expect(await call(request, () => owner)).toBe(true);
    expect(tokenOwner(request)).toEqual(owner);
    expect(logged).toEqual([]);
  });

  it('may need time to know the owner', async () => {
    const request = withToken('t0ken');
    expect(await call(request, () => Promise.resolve(owners[0]))).toBe(true);
    expect(tokenOwner(request)).toEqual(owners[0]);
  });

  it('is given the token and the request', async () => {
    const request = withToken('t0ken');
    let given: unknown[] = [];
    await call(request, (...all) => {
      given = all;
      return owners[0];
    });
    expect(given).toEqual(['t0ken', request]);
    expect(given[1]).toBe(request);
  });

  it('is called as a method of the options, on which a host may rely', async () => {
    const host = {
      owner: { userId: '@alice:example.org' },
      verifyAccessToken() {
        return this.owner;
      },
    };
    const request = withToken('t0ken');
    expect(await new AccessTokenGuard(host).canActivate(contextOf(request))).toBe(true);
  });

  it('keeps the owners of two requests apart', async () => {
    const [one, other] = [withToken('one'), withToken('other')];
    const verify = (token: string) => ({ userId: `@${token}:b` });
    await Promise.all([call(one, verify), call(other, verify)]);
    expect([tokenOwner(one).userId, tokenOwner(other).userId]).toEqual(['@one:b', '@other:b']);
  });

  it.each([null, Promise.resolve(null)])('that returns no owner is 401: %p', async (nobody) => {
    expect(await refusal(withToken('t0ken'), () => nobody)).toEqual({
      status: 401,
      errcode: 'M_UNKNOWN_TOKEN',
      error: expect.any(String),
    });
    expect(logged).toEqual([]);
  });

  it('that knows a guest is 403', async () => {
    const request = withToken('t0ken');
    const guest = { userId: '@guest:b', isGuest: true };
    expect(await refusal(request, () => guest)).toEqual({
      status: 403,
      errcode: 'M_GUEST_ACCESS_FORBIDDEN',
      error: expect.any(String),
    });
    expect(() => tokenOwner(request)).toThrow();
  });

  const thrown = [
    unknownToken(true),
    new MatrixError(429, { errcode: 'M_LIMIT_EXCEEDED', error: 'Slow.', retry_after_ms: 5 }),
    new MatrixError(403, { errcode: 'M_USER_DEACTIVATED', error: 'Gone.' }),
  ];

  it.each(thrown)('that throws a MatrixError has it answered as it is: %s', async (error) => {
    const later = () => Promise.reject(error);
    const atOnce = () => {
      throw error;
    };
    for (const verify of [later, atOnce]) {
      await expect(call(withToken('t0ken'), verify)).rejects.toBe(error);
    }
    expect(logged).toEqual([]);
  });

  it.each([
    ['nothing', undefined],
    ['true', true],
    ['false', false],
    ['an empty text', ''],
    ['a user id', '@alice:example.org'],
    ['a number', 1],
    ['a list', []],
    ['an object without a user id', {}],
    ['the wrong name', { user_id: '@alice:example.org' }],
    ['no user id', { userId: undefined }],
    ['null for a user id', { userId: null }],
    ['an empty user id', { userId: '' }],
    ['a number for a user id', { userId: 1 }],
    ['a user id of 256 bytes', { userId: 'é'.repeat(128) }],
    ['a user id that has no UTF-8', { userId: '@\ud800:b' }],
    ['an empty device id', { userId: '@a:b', deviceId: '' }],
    ['a device id of 256 bytes', { userId: '@a:b', deviceId: 'a'.repeat(256) }],
    ['a guest without a user id', { isGuest: true }],
  ])('that returns %s is 503, and the log says what to return', async (_, nonsense) => {
    for (const result of [nonsense, Promise.resolve(nonsense)]) {
      const request = withToken('t0ken');
      expect(await refusal(request, () => result)).toEqual(UNAVAILABLE);
      expect(() => tokenOwner(request)).toThrow();
    }
    expect(logged).toHaveLength(2);
    expect(logged[0]).toMatch(/verifyAccessToken.*must/);
  });

  const failures: [string, unknown][] = [
    ['an Error', new Error('connect ECONNREFUSED')],
    ['an Error without a message', new Error()],
    ['a subclass of Error', new TypeError('fetch failed')],
    ['several Errors', new AggregateError([new Error('a'), new Error('b')])],
    ['an Error whose message is no text', Object.assign(new Error(), { message: { a: 1 } })],
    ['an Error whose message is missing', Object.assign(new Error(), { message: undefined })],
    ['a text', 'down'],
    ['nothing', undefined],
    ['null', null],
    ['a number', 503],
    ['a symbol', Symbol('down')],
    ['an object', { status: 401, errcode: 'M_UNKNOWN_TOKEN' }],
    ['an object without a prototype', Object.create(null)],
    ['a function', () => 'down'],
  ];

  it.each(failures)('that throws %s is 503, and the log says so', async (_, failure) => {
    const later = async () => {
      await Promise.resolve();
      throw failure;
    };
    const atOnce = () => {
      throw failure;
    };
    for (const verify of [later, atOnce]) {
      expect(await refusal(withToken('t0ken'), verify)).toEqual(UNAVAILABLE);
    }
    expect(logged).toHaveLength(2);
    expect(logged[0]).toContain('verifyAccessToken failed');
  });

  it('that fails sends the client Retry-After', async () => {
    await expect(
      call(withToken('t0ken'), () => {
        throw new Error('down');
      }),
    ).rejects.toMatchObject({ headers: { 'Retry-After': expect.stringMatching(/^\d+$/) } });
  });
});

describe('the log of a failure', () => {
  const SECRET = 'syt_YWxpY2U+/=.secret';

  it.each([
    ['as it is', (token: string) => `no answer about ${token}, ${token}`],
    ['in a URL', (token: string) => `GET /whoami?access_token=${encodeURIComponent(token)}`],
    ['in a form', (token: string) => `POST ${new URLSearchParams({ token }).toString()}`],
    ['in JSON', (token: string) => `{"token":${JSON.stringify(token)}}`],
  ])('never holds the token that the message has %s', async (_, message) => {
    for (const token of [SECRET, 'a"b\\c d%41']) {
      const url = `${PATH}?access_token=${encodeURIComponent(token)}`;
      const failures: unknown[] = [new Error(message(token)), message(token)];
      for (const failure of failures) {
        await refusal(requestWith(undefined, url), () => {
          throw failure;
        });
      }
      const text = logged.join('\n');
      expect(text).toContain('verifyAccessToken failed');
      for (const form of [
        token,
        encodeURIComponent(token),
        new URLSearchParams({ '': token }).toString().slice(1),
        JSON.stringify(token).slice(1, -1),
      ]) {
        expect(text).not.toContain(form);
      }
    }
  });

  it('never holds a token that is a pattern for replacements', async () => {
    for (const token of ['$&', '$1', '.*', '(', '\\']) {
      await refusal(withToken(token), () => Promise.reject(new Error(`asked: ${token}`)));
      expect(logged.pop()).toContain('asked: … ');
    }
  });

  it('keeps the rest of the message', async () => {
    await refusal(withToken(SECRET), () => Promise.reject(new Error(`no ${SECRET} at 10.0.0.1`)));
    expect(logged).toHaveLength(1);
    expect(logged[0]).toContain('no … at 10.0.0.1');
  });

  it('is not what the client reads', async () => {
    const error = await refusal(withToken(SECRET), () => Promise.reject(new Error('at 10.0.0.1')));
    expect(JSON.stringify(error)).not.toMatch(/10\.0\.0\.1|secret/);
  });
});
