/**
 * Proves what each variable of the standalone server's environment becomes, which values are
 * refused, and that a refusal says what to set and gives no secret away.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { homeserverTokens, introspectedTokens } from 'nestjs-room-keys/access-tokens';
import { rateLimits } from 'nestjs-room-keys/rate-limits';
import { DEFAULT_RATES } from 'nestjs-room-keys/rate-limits';
import { readEnvironment } from './environment.js';
import { SettingError } from './setting-parsers.js';
import { settingRows } from './settings.js';

type Variables = Record<string, string | undefined>;

/** The message that the environment is refused with. */
function refusal(variables: Variables): string {
  try {
    readEnvironment(variables);
  } catch (error) {
    if (error instanceof SettingError) return error.message;
    throw error;
  }
  throw new Error('The environment was accepted.');
}

/** A line that begins with the variable: what is wrong, then what to do. */
const sentenceOn = (variable: string) =>
  new RegExp(`^${variable} [^\\n]+\\. (Set|Remove|Write) [^\\n]+\\.$`);

const HOMESERVER = { HOMESERVER_URL: 'https://matrix.example.org' };
const INTROSPECTION = {
  INTROSPECTION_URL: 'https://auth.example.org/oauth2/introspect',
  INTROSPECTION_CLIENT_ID: '0000000000000000000ROOMKEYS',
  INTROSPECTION_CLIENT_SECRET: 'hunter2',
  SERVER_NAME: 'example.org',
};

/** Of all settings, and of the files that hold the secret ones. */
const variableNames = settingRows.flatMap(([name, { secret }]) =>
  secret ? [name, `${name}_FILE`] : [name],
);

const urlOf = (variables: Variables) => readEnvironment(variables).databaseUrl;

describe('without any variable', () => {
  it.each([
    ['are not set', {}],
    ['are empty', Object.fromEntries(variableNames.map((name) => [name, '']))],
  ])('the server has its defaults, where they %s', (_, variables: Variables) => {
    const { databaseUrl, developmentTokens, limits, ...rest } = readEnvironment(variables);
    expect(databaseUrl.href).toBe('sqlite:data/room-keys.db');
    expect(limits).toEqual({});
    expect(rest).toMatchObject({
      runMigrations: true,
      host: '127.0.0.1',
      port: 8090,
      workers: 1,
      homeserver: undefined,
      introspection: undefined,
      tokenCache: { ttlMs: 30_000, max: 10_000 },
      tokenChecks: { checksAtOnce: 32, maxWaitMs: 5000 },
      tokenCheckTimeoutMs: 5000,
      tokenChecksAtOnce: 32,
      tokenCacheTtlMs: 30_000,
      tokenCacheMax: 10_000,
      developmentTokenMadeUp: true,
      allowedAlgorithms: [],
      maxBodyBytes: 16_777_216,
      logLevel: 'info',
      logUserIds: false,
      rates: {
        reads: { perSecond: 2000, burst: 240_000 },
        writes: { perSecond: 500, burst: 120_000 },
      },
      redisUrl: undefined,
      bodyIdleTimeoutMs: 30_000,
      headersTimeoutMs: 20_000,
      requestTimeoutMs: 120_000,
    });
    expect(developmentTokens).toEqual([
      { token: expect.stringMatching(/^[\w-]{32}$/), userId: '@dev:localhost' },
    ]);
  });

  it('the server makes up another token at each start', () => {
    const tokens = Array.from({ length: 5 }, () => readEnvironment({}).developmentTokens[0]?.token);
    expect(new Set(tokens).size).toBe(5);
  });

  it('the server does not mind the variables of others', () => {
    expect(() => readEnvironment({ PATH: '/bin', NODE_ENV: 'production' })).not.toThrow();
  });
});

describe('DATABASE_URL', () => {
  it.each([
    'sqlite:data/room-keys.db',
    'sqlite:/var/lib/room-keys.db',
    'sqlite:///var/lib/room-keys.db',
    'sqlite::memory:',
    'mysql://user:password@host:3306/database',
    'mysql://host/database',
    'mariadb://user@[::1]/database',
    'mysql://user:p%40ss@host/database',
    'postgres://user:p%40ss@host:5432/database',
    'postgresql://host/database?schema=room_keys',
  ])('can be %s', (text) => {
    expect(urlOf({ DATABASE_URL: text }).href).toBe(text);
  });

  it.each([
    'room-keys.db',
    '/var/lib/room-keys.db',
    'host:3306/database',
    'sqlite:',
    'sqlite:?mode=ro',
    'mysql:',
    'mysql://',
    'mysql:database',
    'mysql:///database',
    'mysql://user:password@host',
    'mysql://user:password@host/',
    'mysql://host:99999/database',
    'oracle://user:password@host/database',
    'file:room-keys.db',
    'http://host/database',
    ' ',
  ])('cannot be %j', (text) => {
    const message = refusal({ DATABASE_URL: text });
    expect(message).toMatch(sentenceOn('DATABASE_URL'));
    expect(message).toContain('sqlite:data/room-keys.db');
    expect(message).toContain('mysql://user:password@host:3306/database');
    expect(message).toContain('postgres://user:password@host:5432/database');
  });

  it.each([
    'mysql://root:hunter2@host',
    'mysql://root:hunter2@host/',
    'mysql:root:hunter2@host/database',
    'mysql://root:hunter2@host:port/database',
    'mysql://root:hunter2@/database',
    'mysql://root:hunter2 @ho st/database',
    'postgres://root:hunter2@host',
    'postgres://root:hunter2@/database',
    'postgres://host/database?user=root&password=hunter2',
    'oracle://root:hunter2@host/database',
    'root:hunter2@host/database',
    'root@hunter2',
    'hunter2',
    'sqlite:?hunter2',
  ])('is never quoted, for it may hold a password: %s', (text) => {
    expect(refusal({ DATABASE_URL: text })).not.toContain('hunter2');
  });
});

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'room-keys-environment-'));
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

function fileWith(content: string): string {
  const file = join(folder, 'password');
  writeFileSync(file, content);
  return file;
}

describe('DATABASE_PASSWORD_FILE', () => {
  it.each(['hunter2', 'p@ss:w/o?r#d', '100%', '%41', 'a b', '\'"\\', 'pässwörd🔑'])(
    'names a file whose text is the password, whatever it is: %s',
    (password) => {
      const url = urlOf({
        DATABASE_URL: 'mysql://user@host/database',
        DATABASE_PASSWORD_FILE: fileWith(password),
      });
      expect(decodeURIComponent(url.password)).toBe(password);
      expect(url).toMatchObject({ username: 'user', host: 'host', pathname: '/database' });
    },
  );

  it.each(['hunter2\n', 'hunter2\r\n'])('may end in a new line: %j', (content) => {
    const url = urlOf({
      DATABASE_URL: 'mysql://user@host/database',
      DATABASE_PASSWORD_FILE: fileWith(content),
    });
    expect(url.password).toBe('hunter2');
  });

  it('counts for more than the password in the URL', () => {
    const url = urlOf({
      DATABASE_URL: 'mysql://user:old@host/database',
      DATABASE_PASSWORD_FILE: fileWith('new'),
    });
    expect(url.password).toBe('new');
  });

  it('cannot be a file that is not there, nor a folder', () => {
    const DATABASE_URL = 'mysql://user@host/database';
    for (const file of [join(folder, 'nothing'), folder]) {
      expect(refusal({ DATABASE_URL, DATABASE_PASSWORD_FILE: file })).toMatch(
        sentenceOn('DATABASE_PASSWORD_FILE'),
      );
    }
  });
});

describe('DATABASE_PASSWORD', () => {
  it('is the password too', () => {
    const url = urlOf({
      DATABASE_URL: 'mysql://user@host/database',
      DATABASE_PASSWORD: 'p@ss:w/o?r#d',
    });
    expect(decodeURIComponent(url.password)).toBe('p@ss:w/o?r#d');
  });

  it('is nothing for a file of SQLite', () => {
    const message = refusal({ DATABASE_PASSWORD: 'hunter2' });
    expect(message).toMatch(sentenceOn('DATABASE_PASSWORD'));
    expect(message).not.toContain('hunter2');
  });
});

describe('a secret', () => {
  const secrets = settingRows.filter(([, { secret }]) => secret);

  it.each(secrets)('%s can come from a file', (name, { example }) => {
    const fromFile = { [`${name}_FILE`]: fileWith(`${example}\n`) };
    const others = {
      DATABASE_URL: HOMESERVER,
      REDIS_URL: HOMESERVER,
      DATABASE_PASSWORD: { ...HOMESERVER, DATABASE_URL: 'mysql://user@host/database' },
      DATABASE_TLS_CA: HOMESERVER,
      INTROSPECTION_CLIENT_SECRET: { ...INTROSPECTION, INTROSPECTION_CLIENT_SECRET: undefined },
    }[name as string];
    expect(readEnvironment({ ...others, ...fromFile })).toEqual(
      readEnvironment({ ...others, [name]: example }),
    );
  });

  it.each(secrets)('%s cannot be there and in a file as well', (name, { example }) => {
    const message = refusal({ [name]: example, [`${name}_FILE`]: fileWith(example) });
    expect(message).toMatch(sentenceOn(name));
    expect(message).toContain(`${name}_FILE`);
    expect(message).not.toContain(example);
  });

  it.each(secrets)('%s cannot come from an empty file', (name) => {
    expect(refusal({ [`${name}_FILE`]: fileWith('\n') })).toMatch(sentenceOn(`${name}_FILE`));
  });
});

describe('several settings that cannot be used', () => {
  it('are named at once, each in a line of its own', () => {
    const lines = refusal({ PORT: 'a', RUN_MIGRATIONS: 'b', DATABASE_URL: 'c' }).split('\n');
    expect(lines).toEqual(
      ['DATABASE_URL', 'RUN_MIGRATIONS', 'PORT'].map((name) =>
        expect.stringMatching(sentenceOn(name)),
      ),
    );
  });
});

describe('RUN_MIGRATIONS', () => {
  it.each([
    ['true', true],
    ['false', false],
  ])('can be %s', (text, value) => {
    expect(readEnvironment({ RUN_MIGRATIONS: text }).runMigrations).toBe(value);
  });

  it.each(['TRUE', '1', '0', 'yes', 'no', ' true', ' '])('cannot be %j', (text) => {
    expect(refusal({ RUN_MIGRATIONS: text })).toMatch(sentenceOn('RUN_MIGRATIONS'));
  });
});

describe('HOST', () => {
  it.each(['127.0.0.1', '127.1.2.3', 'localhost', '::1'])('can be %s', (host) => {
    expect(readEnvironment({ HOST: host }).host).toBe(host);
  });

  it.each([
    '0.0.0.0',
    '::',
    '192.168.0.1',
    'example.org',
    '127.example.org',
    '127.0.0.1.example.org',
    'localhost.example.org',
    '::ffff:192.168.0.1',
    '1127.0.0.1',
    ' ',
  ])('cannot be %j, where others would reach a server whose tokens are for development', (host) => {
    for (const others of [{}, HOMESERVER, INTROSPECTION]) {
      const message = refusal({ HOST: host, DEV_TOKENS: 'hunter2=@a:b', ...others });
      expect(message).toMatch(sentenceOn('HOST'));
      expect(message).toContain('DEV_TOKENS');
      expect(message).toContain('HOMESERVER_URL=https://');
      expect(message).not.toContain('hunter2');
    }
  });

  it.each(['/run/room-keys/api.sock', `/${'a'.repeat(106)}`])(
    'can be the path of a Unix socket, where nobody on another machine reaches it: %s',
    (host) => {
      const environment = readEnvironment({
        HOST: host,
        SOCKET_MODE: '0666',
        METRICS_PORT: '8090',
      });
      expect(environment).toMatchObject({ host, socketMode: 0o666, developmentTokenMadeUp: true });
    },
  );

  it.each(['run/api.sock', './api.sock', 'unix:/run/api.sock', '/run/', `/${'a'.repeat(107)}`])(
    'cannot be %s, which is not the path of a socket',
    (host) => {
      expect(refusal({ HOST: host, ...HOMESERVER })).toMatch(sentenceOn('HOST'));
    },
  );

  it.each(['660', '07777', 'u=rw', '888', '0x1b'])('has a SOCKET_MODE, for example %s', (mode) => {
    const read = () => readEnvironment({ HOST: '/run/a.sock', SOCKET_MODE: mode }).socketMode;
    if (mode === '660') expect(read()).toBe(0o660);
    else expect(read).toThrow(/^SOCKET_MODE is '.*'\. Set three octal digits, for example 0666\.$/);
  });

  it('decides whether the documentation is served, unless DOCS does', () => {
    const docs = (variables: Variables) =>
      readEnvironment({ ...HOMESERVER, ...variables }).servesDocs;
    expect(docs({})).toBe(true);
    expect(docs({ HOST: '::1' })).toBe(true);
    expect(docs({ HOST: '0.0.0.0' })).toBe(false);
    expect(docs({ HOST: '/run/api.sock' })).toBe(false);
    expect(docs({ DOCS: 'off' })).toBe(false);
    expect(docs({ HOST: '0.0.0.0', DOCS: 'on' })).toBe(true);
    expect(refusal({ DOCS: 'true' })).toMatch(sentenceOn('DOCS'));
  });

  it('must be loopback without token verification', () => {
    const message = refusal({ HOST: '0.0.0.0' });
    expect(message).toMatch(sentenceOn('HOST'));
    expect(message).toContain('HOMESERVER_URL=https://');
  });

  it.each(['0.0.0.0', '::', '192.168.0.1', 'example.org'])(
    'can be %s where a homeserver or an authorization server checks tokens',
    (host) => {
      for (const service of [HOMESERVER, INTROSPECTION]) {
        expect(readEnvironment({ HOST: host, ...service })).toMatchObject({
          host,
          developmentTokens: [],
          developmentTokenMadeUp: false,
        });
      }
    },
  );
});

describe('HOMESERVER_URL', () => {
  it.each([
    'https://matrix.example.org',
    'http://synapse:8008',
    'http://[::1]:8008/',
    'https://example.org/homeserver/',
  ])('can be %s', (url) => {
    const { homeserver, introspection } = readEnvironment({ HOMESERVER_URL: url });
    expect(homeserver).toEqual({ homeserverUrl: new URL(url).href, timeoutMs: 5000 });
    expect(introspection).toBeUndefined();
    // a verifier takes whatever passes here
    expect(() => homeserverTokens(homeserver!)).not.toThrow();
  });

  it.each([
    'matrix.example.org',
    'synapse:8008',
    'localhost:8008',
    '//matrix.example.org',
    'ftp://matrix.example.org',
    'https://',
    'https://matrix.example.org/_matrix/client/v3',
    '/run/synapse/api.sock',
    'unix:/run/synapse/api.sock',
    'http://unix:/run/synapse/api.sock',
    'http+unix://%2Frun%2Fsynapse.sock',
    'https://user@matrix.example.org',
    'https://matrix.example.org?a=b',
    'https://matrix.example.org#a',
    ' ',
  ])('cannot be %j', (url) => {
    expect(refusal({ HOMESERVER_URL: url })).toMatch(sentenceOn('HOMESERVER_URL'));
  });

  it.each(['https://a:hunter2@matrix.example.org', 'https://a:hunter2@', 'a:hunter2@b'])(
    'is never quoted, for it may hold a password: %s',
    (url) => {
      expect(refusal({ HOMESERVER_URL: url })).not.toContain('hunter2');
    },
  );

  it('contradicts INTROSPECTION_URL', () => {
    const message = refusal({ ...HOMESERVER, ...INTROSPECTION });
    expect(message).toMatch(sentenceOn('HOMESERVER_URL and INTROSPECTION_URL'));
  });

  it('leaves room for development tokens on loopback', () => {
    const environment = readEnvironment({ ...HOMESERVER, DEV_TOKENS: 't=@a:b' });
    expect(environment).toMatchObject({
      homeserver: { homeserverUrl: 'https://matrix.example.org/' },
      developmentTokens: [{ token: 't', userId: '@a:b' }],
      developmentTokenMadeUp: false,
    });
  });
});

describe('INTROSPECTION_URL', () => {
  it('has what is needed to ask there', () => {
    const { homeserver, introspection } = readEnvironment(INTROSPECTION);
    expect(homeserver).toBeUndefined();
    expect(introspection).toEqual({
      introspectionUrl: 'https://auth.example.org/oauth2/introspect',
      clientId: '0000000000000000000ROOMKEYS',
      clientSecret: 'hunter2',
      serverName: 'example.org',
      timeoutMs: 5000,
    });
    expect(() => introspectedTokens(introspection!)).not.toThrow();
  });

  it.each(['INTROSPECTION_CLIENT_ID', 'INTROSPECTION_CLIENT_SECRET', 'SERVER_NAME'])(
    'needs %s',
    (name) => {
      const message = refusal({ ...INTROSPECTION, [name]: undefined });
      expect(message).toMatch(sentenceOn('INTROSPECTION_URL'));
      expect(message).toContain(` requires ${name}. `);
      expect(message).not.toContain('hunter2');
    },
  );

  it.each(['auth.example.org/introspect', 'ftp://a/b', 'https://a:hunter2@b/c', 'https://b/c?d=e'])(
    'cannot be %j',
    (url) => {
      const message = refusal({ ...INTROSPECTION, INTROSPECTION_URL: url });
      expect(message).toMatch(sentenceOn('INTROSPECTION_URL'));
      expect(message).not.toContain('hunter2');
    },
  );

  it('takes the secret from a file', () => {
    const { introspection } = readEnvironment({
      ...INTROSPECTION,
      INTROSPECTION_CLIENT_SECRET: undefined,
      INTROSPECTION_CLIENT_SECRET_FILE: fileWith('from+the/file=\n'),
    });
    expect(introspection?.clientSecret).toBe('from+the/file=');
  });

  it.each([() => join(folder, 'nothing'), () => folder, () => fileWith('\n')])(
    'cannot take it from what holds no secret',
    (file) => {
      const variables = { ...INTROSPECTION, INTROSPECTION_CLIENT_SECRET: undefined };
      expect(refusal({ ...variables, INTROSPECTION_CLIENT_SECRET_FILE: file() })).toMatch(
        sentenceOn('INTROSPECTION_CLIENT_SECRET_FILE'),
      );
    },
  );

  it.each(['INTROSPECTION_CLIENT_ID', 'INTROSPECTION_CLIENT_SECRET'])(
    'is missed by %s, which does nothing without it',
    (name) => {
      const message = refusal({ [name]: 'hunter2' });
      expect(message).toMatch(sentenceOn(name));
      expect(message).toContain('INTROSPECTION_URL');
      expect(message).not.toContain('hunter2');
    },
  );

  it.each(['example.org', 'localhost', 'hs1', '192.168.0.1:8448', '[::1]:8448', 'a-b.example'])(
    'belongs to a SERVER_NAME such as %s',
    (name) => {
      const { introspection } = readEnvironment({ ...INTROSPECTION, SERVER_NAME: name });
      expect(introspection?.serverName).toBe(name);
    },
  );

  it.each(['https://example.org', '@alice:example.org', 'example.org/', 'a b', ' ', 'a:b', '[::1'])(
    'belongs to no SERVER_NAME such as %j',
    (name) => {
      expect(refusal({ ...INTROSPECTION, SERVER_NAME: name })).toMatch(sentenceOn('SERVER_NAME'));
    },
  );
});

describe('requests to the service that verifies tokens', () => {
  it('has its limits from TOKEN_CHECK_TIMEOUT_MS, TOKEN_CHECKS_AT_ONCE, TOKEN_CACHE_TTL_MS and TOKEN_CACHE_MAX', () => {
    const limits = {
      TOKEN_CHECK_TIMEOUT_MS: '250',
      TOKEN_CHECKS_AT_ONCE: '7',
      TOKEN_CACHE_TTL_MS: '0',
      TOKEN_CACHE_MAX: '5',
    };
    expect(readEnvironment({ ...HOMESERVER, ...limits })).toMatchObject({
      homeserver: { timeoutMs: 250 },
      tokenCache: { ttlMs: 0, max: 5 },
      tokenChecks: { checksAtOnce: 7, maxWaitMs: 250 },
    });
    expect(readEnvironment({ ...INTROSPECTION, ...limits })).toMatchObject({
      introspection: { timeoutMs: 250 },
    });
  });

  it.each([
    { TOKEN_CHECK_TIMEOUT_MS: '0' },
    { TOKEN_CHECK_TIMEOUT_MS: '5s' },
    { TOKEN_CHECKS_AT_ONCE: '0' },
    { TOKEN_CHECKS_AT_ONCE: '10001' },
    { TOKEN_CACHE_TTL_MS: '-1' },
    { TOKEN_CACHE_TTL_MS: 'never' },
    { TOKEN_CACHE_MAX: '0' },
    { TOKEN_CACHE_MAX: '10000001' },
  ])('cannot have %j', (limit) => {
    const [name, value] = Object.entries(limit)[0]!;
    const message = refusal({ ...HOMESERVER, ...limit });
    expect(message).toMatch(sentenceOn(name));
    expect(message).toContain(`'${value}'`);
  });
});

describe.each([
  { name: 'PORT', setting: 'port', least: 0, most: 65535 },
  { name: 'MAX_BODY_BYTES', setting: 'maxBodyBytes', least: 1, most: Number.MAX_SAFE_INTEGER },
] as const)('$name', ({ name, setting, least, most }) => {
  it(`can be any whole number from ${least} to ${most}`, () => {
    for (const value of [least, 1, 1234, most]) {
      expect(readEnvironment({ [name]: String(value) })[setting]).toBe(value);
    }
  });

  it.each([least - 1, most + 1, '1e3', '0x10', '1.0', '+1', '1,000', ' 80', '80 ', '٣', 'a', ' '])(
    'cannot be %j',
    (value) => {
      const message = refusal({ [name]: String(value) });
      expect(message).toMatch(sentenceOn(name));
      expect(message).toContain(`from ${least} to ${most}`);
    },
  );
});

describe('WORKERS', () => {
  const DATABASE_URL = 'mysql://room_keys@db/room_keys';

  it('can be a number of processes, or one for each core', () => {
    expect(readEnvironment({ DATABASE_URL, WORKERS: '4' }).workers).toBe(4);
    expect(readEnvironment({ DATABASE_URL, WORKERS: 'auto' }).workers).toBe(availableParallelism());
  });

  it.each(['0', '-1', '257', '1.5', 'Auto', 'all', ' '])('cannot be %j', (text) => {
    expect(refusal({ DATABASE_URL, WORKERS: text })).toMatch(sentenceOn('WORKERS'));
  });

  it('cannot be more than one where the database is a SQLite file', () => {
    expect(refusal({ WORKERS: '2' })).toMatch(sentenceOn('WORKERS'));
    expect(readEnvironment({ WORKERS: '1' }).workers).toBe(1);
  });
});

describe('MAX_BODY_BYTES_AT_ONCE', () => {
  it('can be twice as large as the largest body, and larger', () => {
    for (const atOnce of [20, 21]) {
      const variables = { MAX_BODY_BYTES: '10', MAX_BODY_BYTES_AT_ONCE: String(atOnce) };
      expect(readEnvironment(variables).maxBodyBytesAtOnce).toBe(atOnce);
    }
  });

  it('cannot be smaller than two of the largest bodies, also where that is the default', () => {
    for (const variables of [{ MAX_BODY_BYTES: '501' }, {}]) {
      const message = refusal({ ...variables, MAX_BODY_BYTES_AT_ONCE: '1000' });
      expect(message).toMatch(sentenceOn('MAX_BODY_BYTES_AT_ONCE'));
    }
  });
});

it('HEADERS_TIMEOUT_MS is a part of REQUEST_TIMEOUT_MS', () => {
  const variables = { HEADERS_TIMEOUT_MS: '10', REQUEST_TIMEOUT_MS: '10' };
  expect(readEnvironment(variables)).toMatchObject({ headersTimeoutMs: 10, requestTimeoutMs: 10 });
  const message = refusal({ ...variables, REQUEST_TIMEOUT_MS: '9' });
  expect(message).toMatch(sentenceOn('HEADERS_TIMEOUT_MS'));
});

describe('limits', () => {
  const LIMITS_INFO_URI = 'https://example.org/limits';

  it('are those of the module', () => {
    const { limits } = readEnvironment({
      MAX_BACKUPS_PER_USER: '10',
      MAX_KEYS_PER_BACKUP: '5000000',
      MAX_BYTES_PER_USER: '1',
      MAX_SESSION_DATA_BYTES: '65536',
      MAX_AUTH_DATA_BYTES: '2',
      LIMITS_INFO_URI,
    });
    expect(limits).toEqual({
      backupsPerUser: 10,
      keysPerBackup: 5_000_000,
      bytesPerUser: 1,
      sessionDataBytes: 65_536,
      authDataBytes: 2,
      infoUri: LIMITS_INFO_URI,
    });
  });

  it.each(['MAX_BACKUPS_PER_USER', 'MAX_KEYS_PER_BACKUP', 'MAX_BYTES_PER_USER'])(
    '%s needs a page about it',
    (name) => {
      expect(refusal({ [name]: '1' })).toMatch(sentenceOn(name));
      expect(refusal({ [name]: '1' })).toContain('LIMITS_INFO_URI');
    },
  );

  it.each(['MAX_SESSION_DATA_BYTES', 'MAX_AUTH_DATA_BYTES'])('%s needs none', (name) => {
    expect(() => readEnvironment({ [name]: '1' })).not.toThrow();
  });

  it.each([
    { MAX_KEYS_PER_BACKUP: '0' },
    { MAX_BYTES_PER_USER: '1GB' },
    { MAX_BACKUPS_PER_USER: '-1' },
    { MAX_SESSION_DATA_BYTES: '1.5' },
    { MAX_AUTH_DATA_BYTES: 'none' },
    { LIMITS_INFO_URI: 'example' },
  ])('cannot have %j', (limit) => {
    const [name] = Object.entries(limit)[0]!;
    expect(refusal({ LIMITS_INFO_URI, ...limit })).toMatch(sentenceOn(name));
  });
});

describe('the log and the metrics', () => {
  it('are as their settings say', () => {
    expect(
      readEnvironment({
        LOG_FORMAT: 'text',
        LOG_LEVEL: 'debug',
        LOG_USER_IDS: 'true',
        METRICS_PORT: '9464',
        METRICS_HOST: '10.0.0.5',
      }),
    ).toMatchObject({
      logFormat: 'text',
      logLevel: 'debug',
      logUserIds: true,
      metricsPort: 9464,
      metricsHost: '10.0.0.5',
    });
  });

  it.each([
    { LOG_FORMAT: 'xml' },
    { LOG_FORMAT: 'JSON' },
    { LOG_LEVEL: 'verbose' },
    { LOG_LEVEL: 'log' },
    { LOG_USER_IDS: 'yes' },
    { METRICS_PORT: '99999' },
  ])('cannot have %j', (variables) => {
    const [name] = Object.entries(variables)[0]!;
    expect(refusal(variables)).toMatch(sentenceOn(name));
  });

  it('cannot be served on a Unix socket', () => {
    const variables = { METRICS_PORT: '9464', METRICS_HOST: '/run/metrics.sock' };
    expect(refusal(variables)).toMatch(sentenceOn('METRICS_HOST'));
  });

  it('have no address without a port', () => {
    expect(refusal({ METRICS_HOST: '10.0.0.5' })).toMatch(sentenceOn('METRICS_HOST'));
  });

  it('are not served where the API is', () => {
    expect(refusal({ METRICS_PORT: '8090' })).toMatch(sentenceOn('METRICS_PORT'));
    for (const hosts of [
      { HOST: '0.0.0.0' },
      { METRICS_HOST: '0.0.0.0' },
      { HOST: '::', METRICS_HOST: '10.0.0.5' },
      { HOST: '::', METRICS_HOST: '0.0.0.0' },
    ]) {
      expect(refusal({ ...HOMESERVER, ...hosts, METRICS_PORT: '8090' })).toMatch(
        sentenceOn('METRICS_PORT'),
      );
    }
    expect(() =>
      readEnvironment({ ...HOMESERVER, HOST: '::', METRICS_PORT: '9464' }),
    ).not.toThrow();
    expect(() => readEnvironment({ METRICS_PORT: '0', PORT: '0' })).not.toThrow();
    expect(() => readEnvironment({ METRICS_PORT: '8090', METRICS_HOST: '10.0.0.5' })).not.toThrow();
  });
});

describe('RATE_LIMIT', () => {
  it('is on, with the rates of the module', () => {
    // who leaves them out of rateLimits gets the same
    expect(readEnvironment({}).rates).toEqual(DEFAULT_RATES);
  });

  it('can be off', () => {
    expect(readEnvironment({ RATE_LIMIT: 'off' }).rates).toBeUndefined();
  });

  it('has rates for reads and writes', () => {
    const rates = readEnvironment({
      RATE_LIMIT_READS_PER_SECOND: '1',
      RATE_LIMIT_READS_BURST: '2',
      RATE_LIMIT_WRITES_PER_SECOND: '3',
      RATE_LIMIT_WRITES_BURST: '0',
    }).rates!;
    expect(rates).toEqual({
      reads: { perSecond: 1, burst: 2 },
      writes: { perSecond: 3, burst: 0 },
    });
    expect(() => rateLimits(rates)).not.toThrow();
  });

  it.each([
    { RATE_LIMIT: 'false' },
    { RATE_LIMIT: '100' },
    { RATE_LIMIT_READS_PER_SECOND: '0' },
    { RATE_LIMIT_READS_PER_SECOND: '0.2' },
    { RATE_LIMIT_WRITES_BURST: '-1' },
    { RATE_LIMIT_EXEMPT: 'bridge' },
    { RATE_LIMIT_EXEMPT: '@bridge' },
    { RATE_LIMIT_EXEMPT: '@bridge:example.org;@b:c d' },
  ])('cannot have %j', (limit) => {
    const [name] = Object.entries(limit)[0]!;
    expect(refusal(limit)).toMatch(sentenceOn(name));
  });

  it('has users who are exempt', () => {
    const { rateLimitExempt } = readEnvironment({ RATE_LIMIT_EXEMPT: '@a:b, @_irc_*:b,' });
    expect(rateLimitExempt).toEqual(['@a:b', '@_irc_*:b']);
  });
});

describe('REDIS_URL', () => {
  it.each(['redis://redis', 'redis://user:p%40ss@redis:6379/1', 'rediss://[::1]:6380'])(
    'can be %s',
    (url) => {
      expect(readEnvironment({ REDIS_URL: url }).redisUrl?.href).toBe(url);
    },
  );

  it.each(['redis:hunter2', 'http://:hunter2@redis', 'hunter2', 'redis://', 'unix:/hunter2.sock'])(
    'cannot be %j, and is never quoted',
    (url) => {
      const message = refusal({ REDIS_URL: url });
      expect(message).toMatch(sentenceOn('REDIS_URL'));
      expect(message).not.toContain('hunter2');
    },
  );
});

describe('DEV_TOKENS', () => {
  const read = (text: string) => readEnvironment({ DEV_TOKENS: text });

  it.each([
    ['t=@a:b', [['t', '@a:b']]],
    [
      't=@a:b,u=@c:d',
      [
        ['t', '@a:b'],
        ['u', '@c:d'],
      ],
    ],
    [
      ' t=@a:b , u=@c:d ',
      [
        ['t', '@a:b'],
        ['u', '@c:d'],
      ],
    ],
    [
      't=@a:b,u=@a:b',
      [
        ['t', '@a:b'],
        ['u', '@a:b'],
      ],
    ],
    ['syt_YQ-x.y~z/+=@a.b=c/d:localhost:8448', [['syt_YQ-x.y~z/+', '@a.b=c/d:localhost:8448']]],
    ['t=@a:[::1]:8448', [['t', '@a:[::1]:8448']]],
    ['t=@:b', [['t', '@:b']]],
    ['t:1@x=@a:b', [['t:1@x', '@a:b']]],
  ])('lists tokens and their users: %s', (text, tokens) => {
    expect(read(text)).toMatchObject({
      developmentTokens: tokens.map(([token, userId]) => ({ token, userId })),
      developmentTokenMadeUp: false,
    });
  });

  it.each([
    'hunter2',
    'hunter2=',
    '=@a:b',
    'hunter2=a:b',
    'hunter2=@a',
    'hunter2=@a:',
    'hunter2 =@a:b',
    'hunter2= @a:b',
    'hun ter2=@a:b',
    'hunter2=@a b:c',
    'hunter2==@a:b',
    'hunter2:@a:b',
    'hunter2=@a:b;u=@c:d x',
    'hunter2=@a:b,',
    ',hunter2=@a:b',
    'hunter2=@a:b,,u=@c:d',
    't=@a:b,hunter2',
    ',',
    ' ',
  ])('cannot be %j, and is never quoted', (text) => {
    const message = refusal({ DEV_TOKENS: text });
    expect(message).toMatch(sentenceOn('DEV_TOKENS'));
    expect(message).not.toContain('hunter2');
  });
});

describe('ALLOWED_ALGORITHMS', () => {
  it.each([
    ['m.a', ['m.a']],
    ['m.a,org.example.b', ['m.a', 'org.example.b']],
    [' m.a , org.example.b ,', ['m.a', 'org.example.b']],
    [',', []],
    ['*', '*'],
    [' * ', '*'],
  ])('lists algorithms: %j', (text, algorithms) => {
    expect(readEnvironment({ ALLOWED_ALGORITHMS: text }).allowedAlgorithms).toEqual(algorithms);
  });
});
