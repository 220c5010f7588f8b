import type { IncomingMessage } from 'node:http';
import type { RoomKeysObserver, RoomKeysOperation } from './room-keys.events.js';

/** Whose access token a request carries. A value that is null, as a column of a database can be, is one that is left out. */
export interface TokenOwner {
  /** Full Matrix user id, such as `@alice:example.org`: 1 to 255 bytes. */
  userId: string;
  /** The device that the token was given to; stored beside the keys that it uploads. */
  deviceId?: string | null | undefined;
  /** Guests are refused with 403 `M_GUEST_ACCESS_FORBIDDEN`. Default: false. */
  isGuest?: boolean | null | undefined;
  /**
   * Whether limits of requests hold for the owner; application services may be free of them.
   * Default: true.
   */
  isRateLimited?: boolean | null | undefined;
}

/**
 * Answers "whose token is this?".
 *
 * It returns the owner, or null for a token that belongs to nobody: the client is then told 401
 * `M_UNKNOWN_TOKEN` and logs its user out. It may throw a {@link MatrixError}, such as
 * `unknownToken(true)`, which reaches the client as it is. Whatever else it throws means that the
 * question could not be answered just now: the client is told 503, and tries again.
 */
export type AccessTokenVerifier = (
  token: string,
  request: IncomingMessage,
) => TokenOwner | null | Promise<TokenOwner | null>;

/**
 * A request whose token is known, and of which nothing further was read yet.
 *
 * @publicApi
 */
export interface RateLimitedRequest {
  /** Whose token it carries; their `isRateLimited` is not false. */
  owner: TokenOwner;
  operation: RoomKeysOperation;
  /** Whether the operation can change what is stored. */
  kind: 'read' | 'write';
}

/**
 * Answers "may this user ask now?".
 *
 * It returns undefined for yes; else after how many milliseconds the user may try again: the client
 * is told 429 `M_LIMIT_EXCEEDED`, and real ones wait for so long. It may throw a
 * {@link MatrixError}, which reaches the client as it is. Whatever else it throws is logged once,
 * and the request is let through: limits that do not work are to fail nobody.
 *
 * @publicApi
 */
export type RateLimiter = (
  request: RateLimitedRequest,
  httpRequest: IncomingMessage,
) => number | undefined | Promise<number | undefined>;

/**
 * What a host tells the module.
 *
 * @publicApi
 */
export interface RoomKeysOptions {
  /** Whose token is this? Required, no default. */
  verifyAccessToken: AccessTokenVerifier;

  /**
   * Backup algorithms that a client may choose, beside the one of the specification; '*' allows
   * any. Default: none beside `m.megolm_backup.v1.curve25519-aes-sha2`.
   */
  allowedAlgorithms?: readonly string[] | '*' | undefined;

  /**
   * The largest request body in bytes, after decompression; larger ones are refused with 413
   * `M_TOO_LARGE`. A client's batch of 100 keys has about 86,000. Default: 16,777,216 (16 MiB).
   */
  maxBodyBytes?: number | undefined;

  /**
   * How many bytes of request bodies may be in memory at once, after decompression, from when a
   * request says or shows how large its body is until it is answered. Beyond it: 503 with
   * `Retry-After`, on which clients try again. One user may hold a quarter of it, and once a half is
   * taken a 64th, so that others find room. The process takes about six bytes of memory for each of
   * these; it is to be at least twice `maxBodyBytes`. Default: four times `maxBodyBytes`, 64 MiB,
   * which are 780 batches.
   */
  maxBodyBytesAtOnce?: number | undefined;

  /**
   * Milliseconds for which a client may send nothing in the middle of a body; then it is told 408,
   * and cut off. Default: 30,000.
   */
  bodyIdleTimeoutMs?: number | undefined;

  /**
   * How many connections of the DataSource's pool the module may use at once; the others stay free for the
   * host. Users are served in turn. It does nothing on SQLite, which has one. Default: seven tenths of the pool.
   */
  databaseConnections?: number | undefined;

  /** How much each user may store. Default: no limits. */
  limits?: RoomKeysLimits | undefined;

  /**
   * How many requests each user may make: a function of the host's, what `rateLimits` makes of other
   * numbers, or false for as many as they like. Default: `rateLimits()`, which no real client meets.
   */
  rateLimit?: RateLimiter | false | undefined;

  /**
   * Milliseconds between two looks for deleted keys that another process left to be swept; 0 to
   * sweep only what this process deletes. Default: 60,000.
   */
  sweepIntervalMs?: number | undefined;

  /**
   * For how many days a deletion can be undone: of a backup, of all keys of one, of a room or of a key. The API answers
   * as if they were gone; `RoomKeysMaintenance.restore`, or `nestjs-room-keys user restore`, brings them back. Erasing a
   * user removes them at once. The rows take room for so long, and count for no limit. Default: 0, not at all.
   */
  keepDeletedDays?: number | undefined;

  /**
   * How many days the history of backups goes back: created, `auth_data` changed, keys deleted, deleted, restored,
   * imported, erased, with time and device; at most 1,000 entries of a user. Uploads are not in it. 0 for none.
   * Default: 90.
   */
  historyDays?: number | undefined;

  /**
   * Is told of each request, upload, change of a backup, conflict in the database, sweep and check of a token, for
   * metrics and logs. Default: none, and then nothing is measured.
   */
  observe?: RoomKeysObserver | undefined;
}

/**
 * How much each user may store. What is over a limit is refused, the whole request with it: a client
 * then sends the same keys again and again, so these are to be far above what honest users need.
 * What is stored already stays, and can be read, replaced by what is no larger, and deleted.
 *
 * @publicApi
 */
export interface RoomKeysLimits {
  /** Backups that are not deleted; clients keep one. Over it: 403 `M_USER_LIMIT_EXCEEDED`. Default: no limit. */
  backupsPerUser?: number | undefined;

  /** Keys in one backup; 420,000 are met in practice. Over it: 403 `M_USER_LIMIT_EXCEEDED`. Default: no limit. */
  keysPerBackup?: number | undefined;

  /**
   * Bytes of `session_data` in all backups of a user; a key of a real client has about 750. Over it:
   * 403 `M_USER_LIMIT_EXCEEDED`. Default: no limit.
   */
  bytesPerUser?: number | undefined;

  /** Bytes of one `session_data`, as JSON in ASCII. Over it: 413 `M_TOO_LARGE`. Default: no limit. */
  sessionDataBytes?: number | undefined;

  /** Bytes of one `auth_data`, as JSON in ASCII. Over it: 413 `M_TOO_LARGE`. Default: no limit. */
  authDataBytes?: number | undefined;

  /**
   * A page for users about the limits: `info_uri` of `M_USER_LIMIT_EXCEEDED`, which the
   * specification requires. Required with one of the first three, no default.
   */
  infoUri?: string | undefined;
}

/**
 * What must be known when the module is defined.
 *
 * @publicApi
 */
export interface RoomKeysExtras {
  /** Name of the TypeORM DataSource that holds the tables. Default: the DataSource without a name. */
  dataSource?: string | undefined;

  /**
   * Decorators for the controllers of the module, by which guards and interceptors that the host has put around all
   * routes let these pass: `[Public(), SkipThrottle()]`. Default: `[]`.
   */
  decorators?: readonly ClassDecorator[] | undefined;

  /**
   * Name of the security scheme for access tokens in the host's OpenAPI document, such as `'bearer'` where its
   * DocumentBuilder has `addBearerAuth()`. Default: `'accessToken'`, with a warning when a document is made.
   */
  securityScheme?: string | undefined;
}

/**
 * What a class for `useClass` or `useExisting` has.
 *
 * @publicApi
 */
export interface RoomKeysOptionsFactory {
  createRoomKeysOptions(): RoomKeysOptions | Promise<RoomKeysOptions>;
}
