/** Proves that each failure of a start or a command says what is wrong and what to do, whichever driver reports it. */
import { QueryFailedError } from 'typeorm';
import { aboutListening, startFailure } from './start-failure.js';

describe('startFailure', () => {
  it.each(['PROTOCOL_CONNECTION_LOST', 'ECONNRESET'])(
    'says what to do when the connection breaks off (%s)',
    (code) => {
      const lost = Object.assign(new Error('Connection lost'), { code });
      for (const error of [lost, new QueryFailedError('SELECT 1', [], lost)]) {
        expect(startFailure(error, {})).toBe(
          'The connection to the database was lost. Check that the database in DATABASE_URL is running, and try again.',
        );
      }
    },
  );

  it.each([
    ['ETIMEDOUT', /^The host in DATABASE_URL cannot be reached\. Check the host/],
    ['EHOSTUNREACH', /^The host in DATABASE_URL cannot be reached\. Check the host/],
    ['ENOTFOUND', /^The host in DATABASE_URL cannot be resolved\. Check its name\.$/],
    ['EAI_AGAIN', /^The host in DATABASE_URL cannot be resolved\. Check its name\.$/],
    [
      'ER_TABLEACCESS_DENIED_ERROR',
      /^The database user lacks privileges\. Grant it those in docs\/security\.md/,
    ],
    [
      'ER_HOST_NOT_PRIVILEGED',
      /^The database does not allow connections from this machine\. Create a user/,
    ],
    ['ER_SECURE_TRANSPORT_REQUIRED', /\. Set DATABASE_TLS=verify-full/],
    ['HANDSHAKE_NO_SSL_SUPPORT', /^The database does not offer TLS\. .*set DATABASE_TLS=off\.$/],
    ['28P01', /^The database rejects the user or the password\. Check /],
    [
      '28000',
      /^PostgreSQL does not allow this user to connect from here\. Add a line for it to pg_hba\.conf/,
    ],
    ['3D000', /^The database in DATABASE_URL does not exist\. Create it/],
    ['3F000', /^The schema in DATABASE_URL does not exist, or .*\. Create it/],
    ['42501', /^The database user lacks privileges\. Grant it those in docs\/security\.md/],
    ['53300', /^PostgreSQL has no free connection\. Raise max_connections/],
    ['57P03', /^PostgreSQL is starting up or shutting down\. Try again\.$/],
    ['SELF_SIGNED_CERT_IN_CHAIN', /^The certificate of the database is not trusted\. Set /],
    ['ERR_TLS_CERT_ALTNAME_INVALID', /^The certificate of the database is not trusted/],
  ])('says what to do about the %s of a database', (code, sentence) => {
    const failed = Object.assign(new Error('words of the driver'), { code });
    expect(startFailure(failed, {})).toMatch(sentence);
  });

  it.each([
    [
      'SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string',
      /^The database requires a password, and none is set\. Set DATABASE_PASSWORD_FILE /,
    ],
    [
      'transaction blocks not allowed in statement pooling mode',
      /^The pooler in front of PostgreSQL does not allow transactions\. Set pool_mode=transaction/,
    ],
    ['The server does not support SSL connections', /^The database does not offer TLS\. /],
    ['Connection terminated unexpectedly', /^The connection to the database was lost\. /],
    ['timeout exceeded when trying to connect', /^The host in DATABASE_URL cannot be reached/],
    ['Connection terminated due to connection timeout', /^The host in DATABASE_URL cannot be/],
  ])('says what to do where pg has no code: %s', (message, sentence) => {
    expect(startFailure(new Error(message), {})).toMatch(sentence);
  });

  it.each(['ENOENT', 'EACCES', 'ECONNREFUSED'])('says what a socket lacks (%s)', (code) => {
    const address = '/run/postgresql/.s.PGSQL.5432';
    const failed = Object.assign(new Error('connect'), { code, syscall: 'connect', address });
    expect(startFailure(failed, {})).toMatch(
      /^No database answers on the socket \/run\/postgresql\/\.s\.PGSQL\.5432 .*\. Start it/,
    );
  });

  it.each([
    ['', 'HOST'],
    ['METRICS_', 'METRICS_HOST'],
  ] as const)('names the setting that says where to listen (%s)', (prefix, name) => {
    const unknown = Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' });
    expect(startFailure(aboutListening(unknown, prefix), { [name]: 'nosuch' })).toBe(
      `${name} nosuch cannot be resolved. Set an address of this machine, for example ${name}=127.0.0.1.`,
    );
  });

  it('passes on an error of the module as it is, without a stack', () => {
    expect(startFailure(new Error('RoomKeysModule: it is wrong. Set it right.'), {})).toBe(
      'RoomKeysModule: it is wrong. Set it right.',
    );
  });
});
