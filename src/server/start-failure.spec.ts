/** Proves that what keeps a start or a command from its database is told in a sentence, as the drivers tell of it. */
import { QueryFailedError } from 'typeorm';
import { aboutListening, startFailure } from './start-failure.js';

describe('startFailure', () => {
  it.each(['PROTOCOL_CONNECTION_LOST', 'ECONNRESET'])(
    'says what to do when the connection breaks off (%s)',
    (code) => {
      const lost = Object.assign(new Error('Connection lost'), { code });
      for (const error of [lost, new QueryFailedError('SELECT 1', [], lost)]) {
        expect(startFailure(error, {})).toBe(
          'The database that DATABASE_URL names broke the connection off: see that it runs, and try again.',
        );
      }
    },
  );

  it.each([
    ['ETIMEDOUT', /^The host in DATABASE_URL is not to be reached: write another one/],
    ['EHOSTUNREACH', /^The host in DATABASE_URL is not to be reached: write another one/],
    ['ENOTFOUND', /^The host in DATABASE_URL is not known: write /],
    ['EAI_AGAIN', /^The host in DATABASE_URL is not known: write /],
    ['ER_TABLEACCESS_DENIED_ERROR', /^The database lets the user in.*: grant it all privileges/],
    ['ER_HOST_NOT_PRIVILEGED', /^The database does not let this machine in: create a user/],
    ['ER_SECURE_TRANSPORT_REQUIRED', /: write DATABASE_TLS=verify-full/],
    ['HANDSHAKE_NO_SSL_SUPPORT', /^The database has no TLS: .*write DATABASE_TLS=off\.$/],
  ])('says what to do about the %s of a database', (code, sentence) => {
    const failed = Object.assign(new Error('words of the driver'), { code });
    expect(startFailure(failed, {})).toMatch(sentence);
  });

  it.each([
    ['', 'HOST'],
    ['METRICS_', 'METRICS_HOST'],
  ] as const)('names the setting that says where to listen (%s)', (prefix, name) => {
    const unknown = Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' });
    expect(startFailure(aboutListening(unknown, prefix), { [name]: 'nosuch' })).toBe(
      `${name} nosuch is not known: write an address of this machine, such as ${name}=127.0.0.1.`,
    );
  });

  it('tells what the module finds wrong as it says it, without a stack', () => {
    expect(startFailure(new Error('RoomKeysModule: it is wrong: write it right.'), {})).toBe(
      'RoomKeysModule: it is wrong: write it right.',
    );
  });
});
