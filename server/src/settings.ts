/** THE SETTINGS of the standalone server: a row is all that a new one needs, beside its use. */
import { databaseUrl } from './database-url.js';
import {
  anyText,
  certificates,
  fileMode,
  flag,
  homeserverUrl,
  hostOrSocket,
  listOrAny,
  networkHost,
  oneOf,
  type Parser,
  processes,
  redisUrl,
  serverName,
  serviceUrl,
  tokensOfUsers,
  uri,
  userIdPatterns,
  whole,
} from './setting-parsers.js';

/** What there is to know of a setting. Its name is that of the environment variable. */
export interface Setting {
  /** How its text is read. */
  kind: Parser<unknown>;
  /** One line: what it is, with its unit. Markdown. */
  doc: string;
  /** Its text when it is not set; a setting without one is undefined then. */
  default?: string;
  /** What happens without it, for one that has no default. */
  unset?: string;
  /** An example value. */
  example: string;
  /** Never shown; `NAME_FILE` can name a file that holds it. */
  secret?: true;
}

/** Environment variables, those of other programs among them. */
export type Variables = Readonly<Record<string, string | undefined>>;

const DAY_MS = 24 * 60 * 60 * 1000;
const ANY_NUMBER = Number.MAX_SAFE_INTEGER;

/** In the order in which they are shown. Each row is two lines, which Prettier would make six of. */
// prettier-ignore
export const SETTINGS = {
  DATABASE_URL: { kind: databaseUrl, default: 'sqlite:data/room-keys.db', example: 'mysql://room_keys:secret@db:3306/room_keys', secret: true,
    doc: 'database that stores the keys: `sqlite:FILE`, `postgres://…`, `mysql://…` or `mariadb://…`' },
  DATABASE_PASSWORD: { kind: anyText, unset: 'the one in `DATABASE_URL`', example: 'secret', secret: true,
    doc: 'database password; replaces the one in `DATABASE_URL`' },
  DATABASE_TLS: { kind: oneOf('off', 'verify-ca', 'verify-full'), default: 'off', example: 'verify-full',
    doc: 'TLS to the database server: `verify-ca` checks the signer of its certificate, `verify-full` also the host name' },
  DATABASE_TLS_CA: { kind: certificates, unset: 'the authorities that Node trusts', example: '-----BEGIN CERTIFICATE-----…', secret: true,
    doc: 'PEM certificates of the authorities that may sign the database certificate, usually as a file' },
  DATABASE_CONNECTIONS: { kind: whole(1, 1000), default: '10', example: '20',
    doc: 'connections to the database server per process; one of them is reserved for health checks' },
  RUN_MIGRATIONS: { kind: flag, default: 'true', example: 'false',
    doc: 'run pending migrations at start; several servers may start at the same time' },

  HOST: { kind: hostOrSocket, default: '127.0.0.1', example: '/run/room-keys/api.sock',
    doc: 'bind address, which must be loopback unless token verification is configured; or the path of a Unix socket' },
  PORT: { kind: whole(0, 65_535), default: '8090', example: '8008',
    doc: 'port to listen on; `0` for any free one' },
  SOCKET_MODE: { kind: fileMode, unset: '0660', example: '0666',
    doc: 'permissions of the Unix socket in `HOST`, in octal; a proxy must be able to write to it' },
  DOCS: { kind: oneOf('on', 'off'), unset: 'on if HOST is a loopback address', example: 'off',
    doc: 'serve Swagger UI and the OpenAPI document at `/docs`' },

  WORKERS: { kind: processes, default: '1', example: 'auto',
    doc: 'number of server processes; `auto` for one per processor core; SQLite allows only one' },

  HOMESERVER_URL: { kind: homeserverUrl, unset: 'not used', example: 'https://matrix.example.org',
    doc: 'homeserver that verifies access tokens through `/account/whoami`' },
  INTROSPECTION_URL: { kind: serviceUrl, unset: 'not used', example: 'https://auth.example.org/oauth2/introspect',
    doc: 'OAuth 2.0 introspection endpoint that verifies access tokens instead, for example of the Matrix Authentication Service' },
  INTROSPECTION_CLIENT_ID: { kind: anyText, unset: 'required with `INTROSPECTION_URL`', example: '0000000000000000000ROOMKEYS',
    doc: 'client ID for the introspection endpoint' },
  INTROSPECTION_CLIENT_SECRET: { kind: anyText, unset: 'required with `INTROSPECTION_URL`', example: 'secret', secret: true,
    doc: 'client secret for the introspection endpoint' },
  SERVER_NAME: { kind: serverName, unset: 'required with `INTROSPECTION_URL`', example: 'example.org',
    doc: 'server name, the part of user IDs after the colon' },
  TOKEN_CHECK_TIMEOUT_MS: { kind: whole(1, 600_000), default: '5000', example: '2000',
    doc: 'timeout for verifying a token, in milliseconds' },
  TOKEN_CHECKS_AT_ONCE: { kind: whole(1, 10_000), default: '32', example: '100',
    doc: 'concurrent token checks per process; one client address gets at most half of them; further checks wait' },
  TOKEN_CACHE_TTL_MS: { kind: whole(0, DAY_MS), default: '30000', example: '60000',
    doc: 'how long a verified token is cached, in milliseconds; `0` disables the cache' },
  TOKEN_CACHE_MAX: { kind: whole(1, 10_000_000), default: '10000', example: '100000',
    doc: 'maximum number of verified tokens cached per process' },
  DEV_TOKENS: { kind: tokensOfUsers, unset: 'one generated and printed at start if no token verification is configured', example: 'secret=@alice:localhost', secret: true,
    doc: 'fixed development tokens, on a loopback address only: `token=@user:server`, separated by commas' },

  ALLOWED_ALGORITHMS: { kind: listOrAny, unset: 'none', example: 'org.example.backup.v2',
    doc: 'backup algorithms to accept besides those of the specification, separated by commas; `*` for any' },

  MAX_BODY_BYTES: { kind: whole(1, ANY_NUMBER), default: '16777216', example: '33554432',
    doc: 'maximum size of a request body, after decompression' },
  MAX_BODY_BYTES_AT_ONCE: { kind: whole(1, ANY_NUMBER), unset: 'four times `MAX_BODY_BYTES`', example: '134217728',
    doc: 'memory limit for request bodies per process; further uploads get 503; allow about six times this in RAM' },
  BODY_IDLE_TIMEOUT_MS: { kind: whole(1, 600_000), default: '30000', example: '10000',
    doc: 'how long a client may pause while it sends a body, in milliseconds' },
  HEADERS_TIMEOUT_MS: { kind: whole(1, 600_000), default: '20000', example: '10000',
    doc: 'timeout for receiving the headers of a request, in milliseconds from the opening of the connection' },
  REQUEST_TIMEOUT_MS: { kind: whole(1, 3_600_000), default: '120000', example: '300000',
    doc: 'timeout for receiving a whole request including its body, in milliseconds' },
  MAX_CONNECTIONS: { kind: whole(1, ANY_NUMBER), unset: 'the open file limit, less 640 or half of it', example: '5000',
    doc: 'maximum number of client connections per process; beyond it, the one that has been idle longest is closed' },
  MAX_KEYS_PER_BACKUP: { kind: whole(1, ANY_NUMBER), unset: 'no limit', example: '5000000',
    doc: 'maximum number of keys in a backup; real backups reach 420,000' },
  MAX_BYTES_PER_USER: { kind: whole(1, ANY_NUMBER), unset: 'no limit', example: '4000000000',
    doc: 'maximum bytes of `session_data` in all backups of a user; a key has about 750' },
  MAX_BACKUPS_PER_USER: { kind: whole(1, ANY_NUMBER), unset: 'no limit', example: '20',
    doc: 'maximum number of backups per user, not counting deleted ones' },
  MAX_SESSION_DATA_BYTES: { kind: whole(1, ANY_NUMBER), unset: 'no limit', example: '65536',
    doc: 'maximum size of the `session_data` of a key, in bytes' },
  MAX_AUTH_DATA_BYTES: { kind: whole(1, ANY_NUMBER), unset: 'no limit', example: '65536',
    doc: 'maximum size of the `auth_data` of a backup, in bytes' },
  LIMITS_INFO_URI: { kind: uri, unset: 'required with the limits on keys, bytes or backups', example: 'https://example.org/limits',
    doc: 'page that explains the storage limits to users; sent to clients that exceed one' },

  KEEP_DELETED_DAYS: { kind: whole(0, 36_500), default: '0', example: '14',
    doc: 'how many days `user restore` can bring back deleted backups and keys, which use disk space until then; `0` disables it' },
  HISTORY_DAYS: { kind: whole(0, 36_500), default: '90', example: '30',
    doc: 'how many days the history of backups (`user show --history`) is kept; `0` disables it' },

  LOG_FORMAT: { kind: oneOf('json', 'text'), unset: 'text on a terminal, json elsewhere', example: 'json',
    doc: 'log format: one JSON object per line, or text' },
  LOG_LEVEL: { kind: oneOf('fatal', 'error', 'warn', 'info', 'debug'), default: 'info', example: 'warn',
    doc: 'minimum level to log; requests are `info`, responses from 500 up are `warn`, health checks are `debug`' },
  LOG_USER_IDS: { kind: flag, default: 'false', example: 'true',
    doc: 'include the user ID in the log line of a request' },
  METRICS_PORT: { kind: whole(0, 65_535), unset: 'no metrics', example: '9464',
    doc: 'port for Prometheus to scrape `/metrics`, separate from the API' },
  METRICS_HOST: { kind: networkHost, unset: '127.0.0.1', example: '10.0.0.5',
    doc: 'bind address for the metrics, which need no password' },

  RATE_LIMIT: { kind: oneOf('on', 'off'), default: 'on', example: 'off',
    doc: 'limit the request rate of each user; requests beyond it get 429 `M_LIMIT_EXCEEDED`' },
  RATE_LIMIT_READS_PER_SECOND: { kind: whole(1, 1_000_000), default: '2000', example: '200',
    doc: 'read requests per user and second' },
  RATE_LIMIT_READS_BURST: { kind: whole(0, 1_000_000_000), default: '240000', example: '20000',
    doc: 'further read requests per user and minute' },
  RATE_LIMIT_WRITES_PER_SECOND: { kind: whole(1, 1_000_000), default: '500', example: '50',
    doc: 'write requests (upload, delete) per user and second' },
  RATE_LIMIT_WRITES_BURST: { kind: whole(0, 1_000_000_000), default: '120000', example: '5000',
    doc: 'further write requests per user and minute' },
  RATE_LIMIT_EXEMPT: { kind: userIdPatterns, unset: 'none', example: '@bridge:example.org,@_irc_*:example.org',
    doc: 'users without a rate limit, for example bridges, separated by commas; `*` matches any characters' },
  REDIS_URL: { kind: redisUrl, unset: 'each server counts for itself', example: 'redis://:secret@redis:6379/0', secret: true,
    doc: 'Redis server that several servers share to count requests; needs `npm install ioredis@5`' },
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

/** The settings in the order of the table. */
export const settingRows: readonly (readonly [name: SettingName, setting: Setting])[] =
  Object.entries(SETTINGS) as [SettingName, Setting][];
