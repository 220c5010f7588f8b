/** Proves which users an application service can act as, and that it can act as no other. */
import { clientRequest } from '../../test/homeserver/fake-service.js';
import { MatrixError } from '../room-keys/room-keys.errors.js';
import { applicationServiceTokens } from './application-service-tokens.js';
import { developmentTokens } from './fixed-tokens.js';

const verify = applicationServiceTokens([
  {
    token: 'irc-token',
    userId: '@irc:example.org',
    users: ['@_irc_.*:example\\.org', '@_both', '@a|@b'],
  },
  { token: 'plain-token', userId: '@plain:example.org' },
]);

const as = (parameters: Record<string, string>, token = 'irc-token') =>
  verify(token, clientRequest(`?${new URLSearchParams(parameters).toString()}`));

const refusal = (parameters: Record<string, string>, token?: string) => {
  try {
    void as(parameters, token);
  } catch (error) {
    if (error instanceof MatrixError) return { status: error.getStatus(), ...error.body };
    throw error;
  }
  throw new Error('It was accepted.');
};

describe('an application service', () => {
  it('is known by its token alone', () => {
    expect(verify('irc-token', clientRequest())).toMatchObject({ userId: '@irc:example.org' });
    expect(verify('plain-token', clientRequest())).toMatchObject({ userId: '@plain:example.org' });
    for (const token of ['', 'irc-toke', 'irc-token ', 'IRC-token', 'plain-token2'])
      expect(verify(token, clientRequest('?user_id=@_irc_a:example.org'))).toBeNull();
  });

  it.each([
    '@irc:example.org',
    '@_irc_alice:example.org',
    '@_irc_:example.org',
    '@_irc_a/b=c.d:example.org',
    // homeservers tie the expression to the start only
    '@_bothers:example.org',
    '@alice:example.org',
    '@bob:example.org',
  ])('can act as %s', (userId) => {
    expect(as({ user_id: userId })).toMatchObject({ userId, deviceId: undefined });
  });

  it.each([
    '@plain:example.org',
    '@carol:example.org',
    '@x@_irc_a:example.org',
    '@x@bob:example.org',
    '@_irc_a:example.net',
    '@_irc_a:example.org.example.net',
    '@_irc_a:example.org:8448',
    '@_both:example.net',
    '@IRC:example.org',
    '_irc_a:example.org',
    '@_both',
    '',
    `@_irc_${'x'.repeat(250)}:example.org`,
    `@_irc_${'é'.repeat(120)}:example.org`,
  ])('cannot act as %j', (userId) => {
    expect(refusal({ user_id: userId })).toMatchObject({
      status: 403,
      errcode: 'M_FORBIDDEN',
      error: 'The application service cannot act as this user.',
    });
  });

  it('can act as itself only, without a namespace', () => {
    expect(as({ user_id: '@plain:example.org' }, 'plain-token')).toMatchObject({
      userId: '@plain:example.org',
    });
    expect(refusal({ user_id: '@_irc_a:example.org' }, 'plain-token')).toMatchObject({
      status: 403,
    });
  });

  it.each(['device_id', 'org.matrix.msc3202.device_id'])('names a device by %s', (name) => {
    expect(as({ user_id: '@_irc_a:example.org', [name]: 'A/B é' })).toEqual({
      userId: '@_irc_a:example.org',
      deviceId: 'A/B é',
    });
    expect(as({ [name]: 'OWN' })).toMatchObject({ userId: '@irc:example.org', deviceId: 'OWN' });
    for (const device of ['', 'x'.repeat(256)]) {
      expect(refusal({ [name]: device })).toMatchObject({
        status: 400,
        errcode: 'M_UNKNOWN_DEVICE',
      });
    }
  });

  it('is taken at its stable word where it names a device twice', () => {
    expect(as({ 'org.matrix.msc3202.device_id': 'OLD', device_id: 'NEW' })).toMatchObject({
      deviceId: 'NEW',
    });
  });

  it('is free of limits of requests as itself, and as its users where its registration says so', () => {
    const service = { userId: '@irc:b', users: ['@_irc_.*'] };
    const services = applicationServiceTokens([
      { ...service, token: 'unsaid' },
      { ...service, token: 'limited', rateLimited: true },
      { ...service, token: 'free', rateLimited: false },
    ]);
    const isRateLimited = async (token: string, userId: string) =>
      (await services(token, clientRequest(`?user_id=${encodeURIComponent(userId)}`)))
        ?.isRateLimited ?? true;
    return expect(
      Promise.all(
        ['unsaid', 'limited', 'free'].flatMap((token) => [
          isRateLimited(token, '@irc:b'),
          isRateLimited(token, '@_irc_a:b'),
        ]),
      ),
    ).resolves.toEqual([false, true, false, true, false, false]);
  });

  it.each([
    [{ token: 't', userId: '@a:b', rateLimited: 'no' as never }, /'rateLimited' must be true/],
    [{ token: '', userId: '@a:b' }, /'token' must be a string/],
    [{ token: 't', userId: 'a' }, /'userId' must be a user id/],
    [{ token: 'hunter2', userId: '@a:b', users: ['@(:b'] }, /'users' must be regular expr/],
  ])('is described by a token and a user id, and regular expressions: not %j', (one, message) => {
    expect(() => applicationServiceTokens([one])).toThrow(message);
    expect(() => applicationServiceTokens([one])).not.toThrow(/hunter2/);
  });
});

describe('development tokens', () => {
  const development = developmentTokens([
    { token: 'a', userId: '@alice:hs1' },
    { token: 'b', userId: '@bob:hs1' },
  ]);

  it('belong to their users, whatever the query says', () => {
    expect(development('a', clientRequest('?user_id=@bob:hs1&device_id=X'))).toEqual({
      userId: '@alice:hs1',
      deviceId: 'DEVELOPMENT',
    });
    expect(development('b', clientRequest())).toMatchObject({ userId: '@bob:hs1' });
    for (const token of ['', 'c', 'A', 'a ', 'ab'])
      expect(development(token, clientRequest())).toBeNull();
  });
});
