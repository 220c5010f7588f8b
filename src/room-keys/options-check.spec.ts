/**
 * Proves which options of the module are taken, and that each wrong one is refused with one
 * sentence that names it and says what to write instead.
 */
import { checkOptions } from './options-check.js';
import { RoomKeysModuleClass } from './room-keys.module-definition.js';
import { ROOM_KEYS_OPTIONS, type RoomKeysOptions } from './room-keys-options.interface.js';

const verifyAccessToken = () => null;

/** The message that the options are refused with. */
function refusal(options: unknown): string {
  try {
    checkOptions(options as RoomKeysOptions);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('The options were accepted.');
}

/** One sentence that names the option, ends in a full stop, and says what to write. */
const sentenceOn = (option: string) =>
  new RegExp(`^RoomKeysModule: [^\\n]*'${option}'[^\\n]*\\. (?:Set|Use) [^\\n]+\\.$`);

describe('the options of the module', () => {
  it.each([
    { verifyAccessToken },
    { verifyAccessToken: () => Promise.resolve({ userId: '@a:b' }) },
    { verifyAccessToken, allowedAlgorithms: undefined },
    { verifyAccessToken, allowedAlgorithms: '*' as const },
    { verifyAccessToken, allowedAlgorithms: [] },
    { verifyAccessToken, allowedAlgorithms: ['m.a', 'a'.repeat(255), 'é'.repeat(127)] },
    { verifyAccessToken, maxBodyBytes: undefined },
    { verifyAccessToken, maxBodyBytes: 1 },
    { verifyAccessToken, maxBodyBytes: Number.MAX_SAFE_INTEGER },
    { verifyAccessToken, maxBodyBytesAtOnce: undefined },
    { verifyAccessToken, maxBodyBytesAtOnce: 33_554_432 },
    { verifyAccessToken, maxBodyBytes: 1, maxBodyBytesAtOnce: 2 },
    { verifyAccessToken, bodyIdleTimeoutMs: undefined },
    { verifyAccessToken, bodyIdleTimeoutMs: 1 },
    { verifyAccessToken, bodyIdleTimeoutMs: 2 ** 31 - 1 },
    { verifyAccessToken, sweepIntervalMs: undefined },
    { verifyAccessToken, sweepIntervalMs: 0 },
    { verifyAccessToken, sweepIntervalMs: 1 },
    { verifyAccessToken, sweepIntervalMs: 2 ** 31 - 1 },
    { verifyAccessToken, observe: undefined },
    { verifyAccessToken, rateLimit: undefined },
    { verifyAccessToken, rateLimit: false as const },
    { verifyAccessToken, rateLimit: () => undefined },
    { verifyAccessToken, observe: () => undefined },
  ])('can be %j', (options: RoomKeysOptions) => {
    expect(() => checkOptions(options)).not.toThrow();
  });

  it.each([undefined, null, 'options', 1, true, () => undefined])('cannot be %s', (options) => {
    expect(refusal(options)).toBe(
      'RoomKeysModule: forRoot requires options. Use RoomKeysModule.forRoot({ verifyAccessToken: … }).',
    );
  });

  it.each(['verifyToken', 'maxBodySize', 'prefix', '__proto', 'MaxBodyBytes', ''])(
    'have none named %j: the message lists those that there are',
    (name) => {
      const message = refusal({ verifyAccessToken, [name]: undefined });
      expect(message).toMatch(sentenceOn(name));
      for (const known of [
        'verifyAccessToken',
        'allowedAlgorithms',
        'maxBodyBytes',
        'maxBodyBytesAtOnce',
        'bodyIdleTimeoutMs',
        'sweepIntervalMs',
        'rateLimit',
        'observe',
      ]) {
        expect(message).toContain(known);
      }
    },
  );

  it.each([undefined, null, 'token', true, {}, Promise.resolve()])(
    'need a verifier that is a function: %s is none',
    (wrong) => {
      expect(refusal({ verifyAccessToken: wrong })).toMatch(sentenceOn('verifyAccessToken'));
    },
  );

  it('need a verifier', () => {
    expect(refusal({})).toMatch(sentenceOn('verifyAccessToken'));
    expect(refusal([])).toMatch(sentenceOn('verifyAccessToken'));
  });

  it.each([
    [null],
    [''],
    ['m.a'],
    ['**'],
    [true],
    [1],
    [{}],
    [new Set(['m.a'])],
    [['']],
    [['m.a', '']],
    [[1]],
    [[null]],
    [[['m.a']]],
    [['a'.repeat(256)]],
    [['é'.repeat(128)]],
  ])('cannot allow the algorithms %j', (allowedAlgorithms) => {
    expect(refusal({ verifyAccessToken, allowedAlgorithms })).toMatch(
      sentenceOn('allowedAlgorithms'),
    );
  });

  const notWhole = [null, '1', '', true, 1.5, NaN, Infinity, -1, 2 ** 53, 1n, [1], {}];

  it.each([...notWhole, 0])('cannot have the largest body %p', (maxBodyBytes) => {
    expect(refusal({ verifyAccessToken, maxBodyBytes })).toMatch(sentenceOn('maxBodyBytes'));
  });

  it.each([...notWhole, 0, 33_554_431])(
    'cannot have so many bytes of bodies at once: %p',
    (maxBodyBytesAtOnce) => {
      expect(refusal({ verifyAccessToken, maxBodyBytesAtOnce })).toMatch(
        sentenceOn('maxBodyBytesAtOnce'),
      );
    },
  );

  it('cannot have fewer bytes of bodies at once than two bodies may have', () => {
    const options = { verifyAccessToken, maxBodyBytes: 501, maxBodyBytesAtOnce: 1001 };
    expect(refusal(options)).toMatch(sentenceOn('maxBodyBytesAtOnce'));
  });

  it.each([...notWhole, 0, 2 ** 31])('cannot wait for a body for %p', (bodyIdleTimeoutMs) => {
    expect(refusal({ verifyAccessToken, bodyIdleTimeoutMs })).toMatch(
      sentenceOn('bodyIdleTimeoutMs'),
    );
  });

  it.each([...notWhole, 2 ** 31])('cannot have the interval %p', (sweepIntervalMs) => {
    expect(refusal({ verifyAccessToken, sweepIntervalMs })).toMatch(sentenceOn('sweepIntervalMs'));
  });

  it.each([...notWhole, 0])('cannot have the limit %p', (limit) => {
    for (const name of [
      'backupsPerUser',
      'keysPerBackup',
      'bytesPerUser',
      'sessionDataBytes',
      'authDataBytes',
    ]) {
      const limits = { infoUri: 'https://example.org/limits', [name]: limit };
      expect(refusal({ verifyAccessToken, limits })).toMatch(sentenceOn(`limits.${name}`));
    }
  });

  it.each([null, 5, 'none'])('cannot have the limits %p', (limits) => {
    expect(refusal({ verifyAccessToken, limits })).toMatch(sentenceOn('limits'));
  });

  it('cannot have a limit that there is not', () => {
    expect(refusal({ verifyAccessToken, limits: { keys: 5 } })).toMatch(
      /'limits\.keys'.*keysPerBackup/,
    );
  });

  it.each(['backupsPerUser', 'keysPerBackup', 'bytesPerUser'])(
    'need a page about the limit %s',
    (name) => {
      expect(refusal({ verifyAccessToken, limits: { [name]: 5 } })).toMatch(/limits\.infoUri/);
      expect(refusal({ verifyAccessToken, limits: { [name]: 5, infoUri: 'page' } })).toMatch(
        /limits\.infoUri/,
      );
    },
  );

  it('may limit sizes without a page about it', () => {
    const limits = { sessionDataBytes: 65_536, authDataBytes: 65_536 };
    expect(() => checkOptions({ verifyAccessToken, limits })).not.toThrow();
  });

  it.each([null, 'off', true, 100, { perSecond: 1 }])(
    'cannot have the rate limit %p',
    (rateLimit) => {
      expect(refusal({ verifyAccessToken, rateLimit })).toMatch(sentenceOn('rateLimit'));
    },
  );

  it.each([null, 'log', true, {}, []])('cannot have the observer %p', (observe) => {
    expect(refusal({ verifyAccessToken, observe })).toMatch(sentenceOn('observe'));
  });

  it('may come with what forRoot itself takes beside them', () => {
    const { providers = [] } = RoomKeysModuleClass.forRoot({
      verifyAccessToken,
      dataSource: 'another',
    });
    const options = providers
      .filter((provider) => 'useValue' in provider && provider.provide === ROOM_KEYS_OPTIONS)
      .map((provider) => (provider as { useValue: RoomKeysOptions }).useValue);
    expect(options).toHaveLength(1);
    expect(() => checkOptions(options[0]!)).not.toThrow();
  });
});
