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
    ['28P01', /^The database refuses the user or the password: write /],
    ['28000', /^PostgreSQL does not let this user in from here: add a line for it to pg_hba\.conf/],
    ['3D000', /^The database that DATABASE_URL names does not exist: create it/],
    ['3F000', /^The schema in DATABASE_URL does not exist: create it/],
    ['42501', /^PostgreSQL lets the user in.*: make it the owner/],
    ['53300', /^PostgreSQL has no connection to spare: raise max_connections/],
    ['57P03', /^PostgreSQL is still starting/],
    ['SELF_SIGNED_CERT_IN_CHAIN', /^The certificate of the database is not to be trusted: write /],
    ['ERR_TLS_CERT_ALTNAME_INVALID', /^The certificate of the database is not to be trusted/],
  ])('says what to do about the %s of a database', (code, sentence) => {
    const failed = Object.assign(new Error('words of the driver'), { code });
    expect(startFailure(failed, {})).toMatch(sentence);
  });

  it.each([
    [
      'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string',
      /^The database refuses the user or the password: write /,
    ],
    [
      'transaction blocks not allowed in statement pooling mode',
      /^The pooler in front of PostgreSQL allows no transactions: set pool_mode=transaction/,
    ],
    ['The server does not support SSL connections', /^The database has no TLS: /],
    ['Connection terminated unexpectedly', /^The database that DATABASE_URL names broke/],
    ['timeout exceeded when trying to connect', /^The host in DATABASE_URL is not to be reached/],
    ['Connection terminated due to connection timeout', /^The host in DATABASE_URL is not to be/],
  ])('says what to do where pg has no code: %s', (message, sentence) => {
    expect(startFailure(new Error(message), {})).toMatch(sentence);
  });

  it.each(['ENOENT', 'EACCES', 'ECONNREFUSED'])('says what a socket lacks (%s)', (code) => {
    const address = '/run/postgresql/.s.PGSQL.5432';
    const failed = Object.assign(new Error('connect'), { code, syscall: 'connect', address });
    expect(startFailure(failed, {})).toMatch(/^There is no database behind the socket .*: start/);
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
