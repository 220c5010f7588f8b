import type { IncomingMessage } from 'node:http';
import type { RoomKeysObserver, RoomKeysOperation } from './room-keys.events.js';

/** Injection token of the module's options. */
export const ROOM_KEYS_OPTIONS = Symbol('ROOM_KEYS_OPTIONS');

/** Injection token of the host's DataSource inside this module. */
export const ROOM_KEYS_DATA_SOURCE = Symbol('ROOM_KEYS_DATA_SOURCE');

/** The owner of an access token. Null, as in a database column, means the same as undefined. */
export interface TokenOwner {
  /** Full Matrix user id, such as `@alice:example.org`: 1 to 255 bytes. */
  userId: string;
  /** The device that the token was issued to; stored with the keys that it uploads. */
  deviceId?: string | null | undefined;
  /** Guests are refused with 403 `M_GUEST_ACCESS_FORBIDDEN`. Default: false. */
  isGuest?: boolean | null | undefined;
  /**
   * Whether request limits apply to the owner; application services may be exempt. Default: true.
   */
  isRateLimited?: boolean | null | undefined;
}

/**
 * Returns the owner of an access token, or null if it is unknown: the client then gets 401
 * `M_UNKNOWN_TOKEN` and logs its user out.
 *
 * It may throw a {@link MatrixError}, such as `unknownToken(true)`, which reaches the client
 * unchanged. Any other error means that the token cannot be verified at the moment: the client gets
 * 503 and tries again.
 */
export type AccessTokenVerifier = (
  token: string,
  request: IncomingMessage,
) => TokenOwner | null | Promise<TokenOwner | null>;

/**
 * A request with a verified token, before anything else of it is read.
 *
 * @publicApi
 */
export interface RateLimitedRequest {
  /** The owner of its token, whose `isRateLimited` is not false. */
  owner: TokenOwner;
  operation: RoomKeysOperation;
  /** Whether the operation can change stored data. */
  kind: 'read' | 'write';
}

/**
 * Returns undefined if the user may make this request now; otherwise the number of milliseconds
 * after which to try again: the client gets 429 `M_LIMIT_EXCEEDED`, and real ones wait that long.
 *
 * It may throw a {@link MatrixError}, which reaches the client unchanged. The first of any other
 * errors is logged, and the request is let through: a broken limiter must not fail requests.
 *
 * @publicApi
 */
export type RateLimiter = (
  request: RateLimitedRequest,
  httpRequest: IncomingMessage,
) => number | undefined | Promise<number | undefined>;

/**
 * Options of the module.
 *
 * @publicApi
 */
export interface RoomKeysOptions {
  /** Returns the owner of an access token. Required, no default. */
  verifyAccessToken: AccessTokenVerifier;

  /**
   * Backup algorithms that a client may choose, in addition to the one in the specification; '*'
   * allows any. Default: only `m.megolm_backup.v1.curve25519-aes-sha2`.
   */
  allowedAlgorithms?: readonly string[] | '*' | undefined;

  /**
   * Maximum size of a request body in bytes, after decompression; larger ones are refused with 413
   * `M_TOO_LARGE`. A client's batch of 100 keys has about 86,000. Default: 16,777,216 (16 MiB).
   */
  maxBodyBytes?: number | undefined;

  /**
   * Memory limit for request bodies in bytes, after decompression, from when the size of a body is
   * known until its request is answered. Beyond it, clients get 503 with `Retry-After` and try again.
   * One user may take a quarter of it, or a 64th once half of it is taken, so that there is room for
   * others. Allow about six times this in RAM. Must be at least twice `maxBodyBytes`. Default: four
   * times `maxBodyBytes`, 64 MiB, which is 780 batches.
   */
  maxBodyBytesAtOnce?: number | undefined;

  /**
   * Milliseconds for which a client may pause in the middle of a body; after that it gets 408 and is
   * disconnected. Default: 30,000.
   */
  bodyIdleTimeoutMs?: number | undefined;

  /**
   * Maximum number of connections of the DataSource's pool that the module uses at once; the others stay free for
   * the host. Users take turns. No effect on SQLite, which has one connection. Default: seven tenths of the pool.
   */
  databaseConnections?: number | undefined;

  /** How much each user may store. Default: no limits. */
  limits?: RoomKeysLimits | undefined;

  /**
   * Limits the requests of each user: `rateLimits` with other numbers, a function of your own, or
   * false for no limit. Default: `rateLimits()`, which real clients do not reach.
   */
  rateLimit?: RateLimiter | false | undefined;

  /**
   * Interval in milliseconds at which deleted keys that another process left behind are looked for; 0
   * to sweep only what this process deletes. Default: 60,000.
   */
  sweepIntervalMs?: number | undefined;

  /**
   * Days for which the deletion of a backup, of all its keys, of a room or of a key can be undone. The API answers as if
   * they were gone; `RoomKeysMaintenance.restore`, or `nestjs-room-keys user restore`, brings them back. Erasing a user
   * removes them at once. Until then the rows take up space, but count towards no limit. Default: 0, not at all.
   */
  keepDeletedDays?: number | undefined;

  /**
   * Days for which the history of backups is kept: created, `auth_data` changed, keys deleted, deleted, restored,
   * imported, erased, with time and device; at most 1,000 entries per user. It does not contain uploads. 0 for no
   * history. Default: 90.
   */
  historyDays?: number | undefined;

  /**
   * Called for each request, upload, change of a backup, database conflict, sweep and token check, for metrics and
   * logs. Default: none, and nothing is measured.
   */
  observe?: RoomKeysObserver | undefined;
}

export const DAY_MS = 24 * 60 * 60 * 1000;

/** How long deleted data and the history of backups are kept. */
export const retentionOf = ({
  keepDeletedDays = 0,
  historyDays = 90,
}: Pick<RoomKeysOptions, 'keepDeletedDays' | 'historyDays'>) => ({ keepDeletedDays, historyDays });

/**
 * How much each user may store. A request that exceeds a limit is refused as a whole, and its client
 * sends the same keys again and again, so set limits far above what honest users need. Stored keys
 * stay, and can be read, deleted, and replaced by keys that are not larger.
 *
 * @publicApi
 */
export interface RoomKeysLimits {
  /** Backups that are not deleted; clients keep one. Beyond it: 403 `M_USER_LIMIT_EXCEEDED`. Default: no limit. */
  backupsPerUser?: number | undefined;

  /** Keys in one backup; 420,000 occur in practice. Beyond it: 403 `M_USER_LIMIT_EXCEEDED`. Default: no limit. */
  keysPerBackup?: number | undefined;

  /**
   * Bytes of `session_data` in all backups of a user; a key of a real client has about 750. Beyond it:
   * 403 `M_USER_LIMIT_EXCEEDED`. Default: no limit.
   */
  bytesPerUser?: number | undefined;

  /** Bytes of one `session_data`, as JSON in ASCII. Beyond it: 413 `M_TOO_LARGE`. Default: no limit. */
  sessionDataBytes?: number | undefined;

  /** Bytes of one `auth_data`, as JSON in ASCII. Beyond it: 413 `M_TOO_LARGE`. Default: no limit. */
  authDataBytes?: number | undefined;

  /**
   * URL of a page about the limits for users: `info_uri` of `M_USER_LIMIT_EXCEEDED`, which the
   * specification requires. Required with any of the first three, no default.
   */
  infoUri?: string | undefined;
}

/**
 * Options that must be known when the module is defined.
 *
 * @publicApi
 */
export interface RoomKeysExtras {
  /** Name of the TypeORM DataSource that holds the tables. Default: the DataSource without a name. */
  dataSource?: string | undefined;

  /**
   * Decorators for the controllers of the module, which exempt its routes from global guards and interceptors of the
   * host: `[Public(), SkipThrottle()]`. Default: `[]`.
   */
  decorators?: readonly ClassDecorator[] | undefined;

  /**
   * Name of the security scheme for access tokens in the host's OpenAPI document, such as `'bearer'` if its
   * DocumentBuilder uses `addBearerAuth()`. Default: `'accessToken'`, with a warning when a document is created.
   */
  securityScheme?: string | undefined;
}

/**
 * Interface of a class for `useClass` or `useExisting`.
 *
 * @publicApi
 */
export interface RoomKeysOptionsFactory {
  createRoomKeysOptions(): RoomKeysOptions | Promise<RoomKeysOptions>;
}
