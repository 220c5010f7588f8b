/** Proves what the server makes of DATABASE_URL and the settings of TLS, and that nothing of it is dropped silently. */
import { userInfo } from 'node:os';
import { connectionOptions, fileOf, lacksPassword, withoutCredentials } from './database-url.js';
import { readEnvironment, type Variables } from './environment.js';
import { idleSettings } from './ineffective-settings.js';

const optionsOf = (text: string, variables: Variables = {}) =>
  connectionOptions(readEnvironment({ DATABASE_URL: text, ...variables }));
const refusal = (text: string): string => {
  try {
    readEnvironment({ DATABASE_URL: text });
    return '';
  } catch (error) {
    return (error as Error).message;
  }
};

describe('a URL of PostgreSQL', () => {
  it.each([
    [
      'postgres://room_keys:p%40ss%3Aw%2Ford%25@db:5433/room%20keys',
      {
        host: 'db',
        port: 5433,
        username: 'room_keys',
        password: 'p@ss:w/ord%',
        database: 'room keys',
      },
    ],
    ['postgresql://u@[::1]/d', { host: '::1', username: 'u', database: 'd' }],
    ['postgres://u@10.0.0.1/d?schema=room_keys', { host: '10.0.0.1', schema: 'room_keys' }],
    ['postgres://u@/d?host=/run/postgresql', { host: '/run/postgresql', username: 'u' }],
    ['postgres://u@h:5433/d?host=/run/postgresql', { host: '/run/postgresql', port: 5433 }],
    ['postgres:///d?host=%2Frun%2Fpostgresql&port=5433', { host: '/run/postgresql', port: 5433 }],
    ['postgres://u@%2Frun%2Fpostgresql:5433/d', { host: '/run/postgresql', port: 5433 }],
    ['postgres://h/d', { username: userInfo().username, password: '', database: 'd' }],
  ])('%s', (text, options) => {
    expect(optionsOf(text)).toMatchObject({ type: 'postgres', ...options });
  });

  it('has no schema unless it names one, and no port', () => {
    expect(optionsOf('postgres://u@h/d')).not.toHaveProperty('schema');
    expect(optionsOf('postgres://u@h/d')).not.toHaveProperty('port');
  });

  it('takes a password from DATABASE_PASSWORD, on a socket too', () => {
    const url = 'postgres:///d?host=/run/postgresql';
    expect(optionsOf(url, { DATABASE_PASSWORD: 'p@ss/?#' })).toMatchObject({ password: 'p@ss/?#' });
  });

  it.each([
    ['postgres://root:hunter2@/d', /lacks a host or a database. Set 'postgres:/],
    ['postgres:///d', /lacks a host or a database/],
    ['postgres://u@/d?host=', /lacks a host or a database/],
    ['postgres://u@h', /lacks a host or a database/],
    ['postgres://u@h/', /lacks a host or a database/],
    [
      'postgres://u@h/d?sslmode=require',
      /a fragment, or parameters other than .* set DATABASE_TLS=verify-full/,
    ],
    [
      'postgres://h/d?user=u&password=hunter2',
      /a fragment, or parameters other than .*\. Remove them/,
    ],
    ['postgres://u@h/d?options=-csearch_path%3Dx', /a fragment, or parameters other than/],
    ['postgres://u@h/d#hunter2', /a fragment, or parameters other than/],
    ['postgres://u@h/d?port=x', /a port that is not a number. Set /],
    ['postgres://u@h/d?schema=a.b', /a schema with characters other .*\. Set /],
    ['postgres://u@h/d?schema=', /a schema with characters other/],
    [
      'postgres://u:%@h/d',
      /contains a '%' that does not encode a character. Replace it with '%25'/,
    ],
    ['postgres:d', /lacks a host or a database/],
  ])('cannot be %s', (text, sentence) => {
    expect(refusal(text)).toMatch(/^DATABASE_URL [^\n]+\.$/);
    expect(refusal(text)).toMatch(sentence);
    expect(refusal(text)).not.toContain('hunter2');
  });

  it('gives a connection a name, a limit of time, and life', () => {
    const options = optionsOf('postgres://u@h/d', { DATABASE_CONNECTIONS: '7' });
    expect(options).toMatchObject({
      applicationName: 'room-keys',
      poolSize: 7,
      connectTimeoutMS: 10_000,
      extra: { keepAlive: true, keepAliveInitialDelayMillis: 15_000 },
    });
  });
});

describe('TLS', () => {
  const DATABASE_TLS_CA = '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----';

  it('is off for PostgreSQL, whatever PGSSLMODE says, unless a setting has it', () => {
    expect(optionsOf('postgres://u@h/d')).toMatchObject({ ssl: false });
  });

  it('checks certificate and name, or the certificate alone', () => {
    const full = optionsOf('postgres://u@h/d', { DATABASE_TLS: 'verify-full', DATABASE_TLS_CA });
    expect(full).toHaveProperty('ssl', { ca: DATABASE_TLS_CA });
    const ca = optionsOf('postgres://u@h/d', { DATABASE_TLS: 'verify-ca' });
    expect(ca).toHaveProperty('ssl', { checkServerIdentity: expect.any(Function) });
  });

  it('is not for a socket, and that is said', () => {
    const variables = {
      DATABASE_URL: 'postgres://u@h/d?host=/run/postgresql',
      DATABASE_TLS: 'verify-full',
    };
    expect(connectionOptions(readEnvironment(variables))).toMatchObject({ ssl: false });
    expect(idleSettings(variables)).toEqual([
      'DATABASE_TLS has no effect on a Unix socket. Set the host of the database in DATABASE_URL, or remove it.',
    ]);
  });
});

it.each([
  ['postgres://u:hunter2@h:5433/d?schema=s', 'postgres://h:5433/d?schema=s'],
  ['mysql://u:hunter2@h/d', 'mysql://h/d'],
  ['sqlite:data/a.db', 'sqlite:data/a.db'],
])('%s is shown as %s', (text, shown) => {
  expect(withoutCredentials(readEnvironment({ DATABASE_URL: text }).databaseUrl)).toBe(shown);
});

it.each([
  ['sqlite:data/a%20b.db', 'data/a b.db'],
  ['sqlite::memory:', undefined],
  ['postgres://u@h/d', undefined],
])('%s is in the file %s', (text, file) => {
  expect(fileOf(readEnvironment({ DATABASE_URL: text }).databaseUrl)).toBe(file);
});

it.each([
  ['postgres://u@h/d', true],
  ['postgres://u:p@h/d', false],
  ['postgres://u:p@/d?host=/run', false],
  ['mysql://u@h/d', true],
  ['sqlite:a.db', false],
  ['nonsense', true],
])('%s lacks a password: %s', (text, lacks) => {
  expect(lacksPassword(text)).toBe(lacks);
});
