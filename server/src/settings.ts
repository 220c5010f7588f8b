/** THE SETTINGS of the standalone server: a row is all that a new one needs, beside its use. */
import { availableParallelism } from 'node:os';
import { databaseUrl } from './database-url.js';
import {
  anyText,
  certificates,
  flag,
  homeserverUrl,
  type Kind,
  listOrAny,
  oneOf,
  redisUrl,
  serverName,
  serviceUrl,
  tokensOfUsers,
  uri,
  userIdPatterns,
  whole,
  wholeOrAuto,
} from './setting-kinds.js';

/** What there is to know of a setting. Its name is that of the environment variable. */
export interface Setting {
  /** How its text is read. */
  kind: Kind<unknown>;
  /** One line: what it is, with its unit. Markdown. */
  doc: string;
  /** Its text when it is not set; a setting without one is undefined then. */
  default?: string;
  /** What happens without it, for one that has no default. */
  unset?: string;
  /** A text that somebody may want to write. */
  example: string;
  /** Never shown; `NAME_FILE` can name a file that holds it. */
  secret?: true;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const ANY_NUMBER = Number.MAX_SAFE_INTEGER;

/** In the order in which they are shown. */
export const SETTINGS = {
  DATABASE_URL: {
    kind: databaseUrl,
    doc: 'where the keys are: `sqlite:FILE`, `postgres://…`, `mysql://…` or `mariadb://…`',
    default: 'sqlite:data/room-keys.db',
    example: 'mysql://room_keys:secret@db:3306/room_keys',
    secret: true,
  },
  DATABASE_PASSWORD: {
    kind: anyText,
    doc: "the database's password, in place of the one in the URL",
    unset: 'the one in the URL',
    example: 'secret',
    secret: true,
  },
  DATABASE_TLS: {
    kind: oneOf('off', 'verify-ca', 'verify-full'),
    doc: 'TLS to the database server: `verify-full` checks who signed its certificate, and for which host; `verify-ca` not for which host',
    default: 'off',
    example: 'verify-full',
  },
  DATABASE_TLS_CA: {
    kind: certificates,
    doc: "certificates (PEM) of those who sign the database's, mostly as a file",
    unset: 'those that Node trusts',
    example: '-----BEGIN CERTIFICATE-----…',
    secret: true,
  },
  DATABASE_CONNECTIONS: {
    kind: whole(1, 1000),
    doc: 'connections to the database server in each process; users are served in turn, and one connection is kept for health checks',
    default: '10',
    example: '20',
  },
  RUN_MIGRATIONS: {
    kind: flag,
    doc: 'whether pending migrations are run at start; several servers may start at once',
    default: 'true',
    example: 'false',
  },

  HOST: {
    kind: anyText,
    doc: 'address to listen at; a loopback one unless somebody checks tokens',
    default: '127.0.0.1',
    example: '0.0.0.0',
  },
  PORT: {
    kind: whole(0, 65_535),
    doc: 'port to listen at; `0` for one that is free',
    default: '8090',
    example: '8008',
  },

  WORKERS: {
    kind: wholeOrAuto(1, 256, availableParallelism),
    doc: 'processes that serve, all at the same address; `auto` for one per processor core, more than one not with SQLite',
    default: '1',
    example: 'auto',
  },

  HOMESERVER_URL: {
    kind: homeserverUrl,
    doc: 'homeserver that verifies access tokens (`/account/whoami`)',
    unset: 'nobody is asked',
    example: 'https://matrix.example.org',
  },
  INTROSPECTION_URL: {
    kind: serviceUrl,
    doc: 'OAuth 2.0 introspection endpoint that verifies them instead, for example of the Matrix Authentication Service',
    unset: 'nobody is asked',
    example: 'https://auth.example.org/oauth2/introspect',
  },
  INTROSPECTION_CLIENT_ID: {
    kind: anyText,
    doc: 'client id for it',
    unset: 'needed with introspection',
    example: '0000000000000000000ROOMKEYS',
  },
  INTROSPECTION_CLIENT_SECRET: {
    kind: anyText,
    doc: 'client secret for it',
    unset: 'needed with introspection',
    example: 'secret',
    secret: true,
  },
  SERVER_NAME: {
    kind: serverName,
    doc: 'what stands after the colon in user ids',
    unset: 'needed with introspection',
    example: 'example.org',
  },
  TOKEN_CHECK_TIMEOUT_MS: {
    kind: whole(1, 600_000),
    doc: 'milliseconds that a check of a token may take',
    default: '5000',
    example: '2000',
  },
  TOKEN_CHECKS_AT_ONCE: {
    kind: whole(1, 10_000),
    doc: 'checks of tokens under way at the same time in a process, at most half of them for one client address; further ones wait',
    default: '32',
    example: '100',
  },
  TOKEN_CACHE_TTL_MS: {
    kind: whole(0, DAY_MS),
    doc: 'how long a verified token is cached, in milliseconds; `0`: not at all',
    default: '30000',
    example: '60000',
  },
  TOKEN_CACHE_MAX: {
    kind: whole(1, 10_000_000),
    doc: 'maximum number of accepted tokens that a process remembers',
    default: '10000',
    example: '100000',
  },
  DEV_TOKENS: {
    kind: tokensOfUsers,
    doc: 'fixed tokens for development, on a loopback address only: `token=@user:server`, more after commas',
    unset: 'one is made up and printed, where nobody is asked',
    example: 'secret=@alice:localhost',
    secret: true,
  },

  ALLOWED_ALGORITHMS: {
    kind: listOrAny,
    doc: "backup algorithms beside the specification's, after commas; `*` for any",
    unset: 'none',
    example: 'org.example.backup.v2',
  },

  MAX_BODY_BYTES: {
    kind: whole(1, ANY_NUMBER),
    doc: 'the largest request body, after decompression',
    default: '16777216',
    example: '33554432',
  },
  MAX_BODY_BYTES_AT_ONCE: {
    kind: whole(1, ANY_NUMBER),
    doc: 'the most bytes of bodies in memory at once in a process, 503 beyond; it takes about six times as much',
    unset: 'four times MAX_BODY_BYTES',
    example: '134217728',
  },
  BODY_IDLE_TIMEOUT_MS: {
    kind: whole(1, 600_000),
    doc: 'milliseconds for which a client may send nothing in the middle of a body',
    default: '30000',
    example: '10000',
  },
  HEADERS_TIMEOUT_MS: {
    kind: whole(1, 600_000),
    doc: 'milliseconds in which the headers of a request are to come, from the opening of the connection',
    default: '20000',
    example: '10000',
  },
  REQUEST_TIMEOUT_MS: {
    kind: whole(1, 3_600_000),
    doc: 'milliseconds in which a request is to come, its body included',
    default: '120000',
    example: '300000',
  },
  MAX_CONNECTIONS: {
    kind: whole(1, ANY_NUMBER),
    doc: 'maximum number of client connections per process; beyond it, the one that has been idle longest is closed',
    unset: 'the limit of open files, less 640 or half of it',
    example: '5000',
  },
  MAX_KEYS_PER_BACKUP: {
    kind: whole(1, ANY_NUMBER),
    doc: 'the most keys that a backup takes; 420,000 are met in practice',
    unset: 'no limit',
    example: '5000000',
  },
  MAX_BYTES_PER_USER: {
    kind: whole(1, ANY_NUMBER),
    doc: 'the most bytes of `session_data` in all backups of a user; a key has about 750',
    unset: 'no limit',
    example: '4000000000',
  },
  MAX_BACKUPS_PER_USER: {
    kind: whole(1, ANY_NUMBER),
    doc: 'the most backups of a user that are not deleted',
    unset: 'no limit',
    example: '20',
  },
  MAX_SESSION_DATA_BYTES: {
    kind: whole(1, ANY_NUMBER),
    doc: 'the largest `session_data` of a key',
    unset: 'no limit',
    example: '65536',
  },
  MAX_AUTH_DATA_BYTES: {
    kind: whole(1, ANY_NUMBER),
    doc: 'the largest `auth_data` of a backup',
    unset: 'no limit',
    example: '65536',
  },
  LIMITS_INFO_URI: {
    kind: uri,
    doc: 'a page for users about these limits, which clients are told',
    unset: 'needed with the first three limits',
    example: 'https://example.org/limits',
  },

  KEEP_DELETED_DAYS: {
    kind: whole(0, 36_500),
    doc: 'for how many days `user restore` can bring back deleted backups and deleted keys, which take room for so long; `0`: not at all',
    default: '0',
    example: '14',
  },
  HISTORY_DAYS: {
    kind: whole(0, 36_500),
    doc: 'how many days the history of backups (`user show --history`) goes back; `0`: no history',
    default: '90',
    example: '30',
  },

  LOG_FORMAT: {
    kind: oneOf('json', 'text'),
    doc: 'how the log is written: a JSON object a line, or text',
    unset: 'text on a terminal, else json',
    example: 'json',
  },
  LOG_LEVEL: {
    kind: oneOf('fatal', 'error', 'warn', 'info', 'debug'),
    doc: 'the least grave of what is logged; requests are `info`, answers from 500 on `warn`, health checks `debug`',
    default: 'info',
    example: 'warn',
  },
  LOG_USER_IDS: {
    kind: flag,
    doc: 'whether the line of a request says whose it was',
    default: 'false',
    example: 'true',
  },
  METRICS_PORT: {
    kind: whole(0, 65_535),
    doc: 'port at which Prometheus finds `/metrics`, apart from the API',
    unset: 'no metrics',
    example: '9464',
  },
  METRICS_HOST: {
    kind: anyText,
    doc: 'address to listen at for it; nobody is asked for a password there',
    unset: '127.0.0.1',
    example: '10.0.0.5',
  },

  RATE_LIMIT: {
    kind: oneOf('on', 'off'),
    doc: 'whether the requests of each user are limited: 429 `M_LIMIT_EXCEEDED`',
    default: 'on',
    example: 'off',
  },
  RATE_LIMIT_READS_PER_SECOND: {
    kind: whole(1, 1_000_000),
    doc: 'requests that only read, of each user in each second',
    default: '2000',
    example: '200',
  },
  RATE_LIMIT_READS_BURST: {
    kind: whole(0, 1_000_000_000),
    doc: 'such requests beyond that in each minute',
    default: '240000',
    example: '20000',
  },
  RATE_LIMIT_WRITES_PER_SECOND: {
    kind: whole(1, 1_000_000),
    doc: 'requests that store or delete, of each user in each second',
    default: '500',
    example: '50',
  },
  RATE_LIMIT_WRITES_BURST: {
    kind: whole(0, 1_000_000_000),
    doc: 'such requests beyond that in each minute',
    default: '120000',
    example: '5000',
  },
  RATE_LIMIT_EXEMPT: {
    kind: userIdPatterns,
    doc: 'users who are not limited, such as those of bridges, after commas; `*` stands for any characters',
    unset: 'nobody',
    example: '@bridge:example.org,@_irc_*:example.org',
  },
  REDIS_URL: {
    kind: redisUrl,
    doc: 'Redis in which several servers count requests together; needs `npm install ioredis@5`',
    unset: 'each server counts for itself',
    example: 'redis://:secret@redis:6379/0',
    secret: true,
  },
} as const satisfies Readonly<Record<string, Setting>>;

/** Such as `DATABASE_URL`. */
export type SettingName = keyof typeof SETTINGS;

type CamelCase<Name extends string> = Name extends `${infer Word}_${infer Rest}`
  ? `${Lowercase<Word>}${Capitalize<CamelCase<Rest>>}`
  : Lowercase<Name>;

type ValueOf<Row extends Setting> =
  ReturnType<Row['kind']> | (Row extends { default: string } ? never : undefined);

/** What the settings are set to, their defaults included: `DATABASE_URL` is `databaseUrl`. */
export type SettingValues = {
  [Name in SettingName as CamelCase<Name>]: ValueOf<(typeof SETTINGS)[Name]>;
};

/** The table for whoever goes through it from top to bottom. */
export const settingRows: readonly (readonly [name: SettingName, setting: Setting])[] =
  Object.entries(SETTINGS) as [SettingName, Setting][];
