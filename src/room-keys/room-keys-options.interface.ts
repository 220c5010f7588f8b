import type { IncomingMessage } from 'node:http';

/** Whose access token a request carries. */
export interface TokenOwner {
  /** Full Matrix user id, such as `@alice:example.org`: 1 to 255 bytes. */
  userId: string;
  /** The device that the token was given to; stored beside the keys that it uploads. */
  deviceId?: string | undefined;
  /** Guests are refused with 403 `M_GUEST_ACCESS_FORBIDDEN`. Default: false. */
  isGuest?: boolean | undefined;
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
   * Milliseconds between two looks for deleted keys that another process left to be swept; 0 to
   * sweep only what this process deletes. Default: 60,000.
   */
  sweepIntervalMs?: number | undefined;
}

/**
 * What must be known when the module is defined.
 *
 * @publicApi
 */
export interface RoomKeysExtras {
  /** Name of the TypeORM DataSource that holds the tables. Default: the DataSource without a name. */
  dataSource?: string | undefined;
}

/**
 * What a class for `useClass` or `useExisting` has.
 *
 * @publicApi
 */
export interface RoomKeysOptionsFactory {
  createRoomKeysOptions(): RoomKeysOptions | Promise<RoomKeysOptions>;
}
