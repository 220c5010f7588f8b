/** THE ERRORS: every answer of this module that is not a 2xx, one named factory per case. */
import { HttpException } from '@nestjs/common';

/** The body of every error answer. */
export interface MatrixErrorBody {
  errcode: string;
  error: string;
  [field: string]: unknown;
}

/**
 * A Matrix error response. A verifier may throw one, and its status, body and headers reach the client
 * unchanged; anything else it throws becomes {@link verifierFailed}.
 *
 * @publicApi
 */
export class MatrixError extends HttpException {
  constructor(
    status: number,
    readonly body: MatrixErrorBody,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(body, status);
    this.message = `${body.errcode}: ${body.error}`;
  }
}

const matrixError = (status: number, errcode: string, error: string, more: object = {}) =>
  new MatrixError(status, { errcode, error, ...more });

/** Nothing was stored, and the same request can succeed later. */
const tryAgain = (error: string) =>
  new MatrixError(503, { errcode: 'M_UNKNOWN', error }, { 'Retry-After': '2' });

// --- the request as such --------------------------------------------------------------------

/** No such path below `/room_keys`. */
export const unrecognizedPath = () => matrixError(404, 'M_UNRECOGNIZED', 'Unknown endpoint.');

/** The path exists, with other methods: `allowed` lists them. */
export const wrongMethod = (allowed: readonly string[]) =>
  new MatrixError(
    405,
    { errcode: 'M_UNRECOGNIZED', error: `This endpoint accepts only ${allowed.join(', ')}.` },
    { Allow: [...allowed, 'OPTIONS'].join(', ') },
  );

/** The body is not JSON, or not UTF-8. */
export const notJson = (why: string) => matrixError(400, 'M_NOT_JSON', why);

/** The body is JSON of the wrong shape; `why` names the field. */
export const badJson = (why: string) => matrixError(400, 'M_BAD_JSON', why);

/** A required query parameter is absent or empty. */
export const missingParameter = (name: string) =>
  matrixError(400, 'M_MISSING_PARAM', `The query parameter '${name}' is missing.`);

/** A parameter or field has an invalid value. */
export const invalidParameter = (why: string) => matrixError(400, 'M_INVALID_PARAM', why);

/** The body, or one value in it, is larger than the server accepts. */
export const tooLarge = (why: string) => matrixError(413, 'M_TOO_LARGE', why);

/** The body is in a Content-Encoding other than identity, gzip, deflate and br. */
export const unsupportedEncoding = () =>
  matrixError(415, 'M_UNKNOWN', 'The Content-Encoding of the body is not supported.');

/** The client paused for too long in the middle of the body. */
export const tooSlow = () => matrixError(408, 'M_UNKNOWN', 'The body took too long.');

// --- the host around us ----------------------------------------------------------------------

/** The user makes more requests than the server or its host allows. */
export const limitExceeded = (retryAfterMs: number) =>
  new MatrixError(
    429,
    {
      errcode: 'M_LIMIT_EXCEEDED',
      error: 'Too many requests.',
      retry_after_ms: retryAfterMs,
    },
    { 'Retry-After': String(Math.ceil(retryAfterMs / 1000)) },
  );

/** Refused by a guard of the host: never 401, on which clients log their user out. */
export const forbiddenByHost = () =>
  matrixError(403, 'M_FORBIDDEN', 'The server does not allow this request.');

// --- the access token -----------------------------------------------------------------------

/** The request carries no access token. */
export const missingToken = () =>
  matrixError(401, 'M_MISSING_TOKEN', 'The access token is missing.');

/**
 * The token is unknown. With `softLogout` the client keeps its keys and signs in again; without it, the
 * client logs its user out and discards them: never use this for a check that failed.
 *
 * @publicApi
 */
export const unknownToken = (softLogout = false) =>
  matrixError(
    401,
    'M_UNKNOWN_TOKEN',
    'The access token is unknown.',
    softLogout ? { soft_logout: true } : {},
  );

/** Guests have no backup. */
export const guestForbidden = () =>
  matrixError(403, 'M_GUEST_ACCESS_FORBIDDEN', 'Guests cannot use the key backup.');

/** The token cannot be verified at the moment: the client should try again. */
export const verifierFailed = () => tryAgain('The access token cannot be checked at the moment.');

// --- backups and keys -----------------------------------------------------------------------

/** The user has no backup. */
export const noCurrentBackup = () => matrixError(404, 'M_NOT_FOUND', 'No current backup version');

/** The backup never existed, or is deleted. */
export const unknownBackup = () => matrixError(404, 'M_NOT_FOUND', 'Unknown backup version');

/** The backup exists and has no such key. */
export const unknownKey = () => matrixError(404, 'M_NOT_FOUND', 'Key not found.');

/** Keys are stored in the current backup only; `currentVersion` is the one that is current now. */
export const wrongVersion = (currentVersion: string) =>
  matrixError(403, 'M_WRONG_ROOM_KEYS_VERSION', 'Wrong backup version.', {
    current_version: currentVersion,
  });

/** The server is not configured for backups of this algorithm. */
export const unsupportedAlgorithm = (supported: readonly string[]) =>
  invalidParameter(`algorithm must be one of: ${supported.join(', ')}`);

/** A backup must have an algorithm, even where the server is configured for any. */
export const emptyAlgorithm = () => invalidParameter('algorithm is empty.');

/**
 * The user has, or would have, more than the operator allows; `infoUri` is a page about it.
 * Specification: client-server API, "Common error codes".
 */
export const userLimitExceeded = (what: string, infoUri: string) =>
  matrixError(403, 'M_USER_LIMIT_EXCEEDED', what, { info_uri: infoUri });

/** `PUT version/{version}` with another algorithm than the backup has. */
export const algorithmMismatch = () => invalidParameter('Algorithm does not match');

/** `PUT version/{version}` with another version in the body than in the path. */
export const versionMismatch = () => invalidParameter('Version does not match the path');

// --- the server's own trouble ---------------------------------------------------------------

/** The database cannot be reached, or is too busy: nothing was stored, the client should try again. */
export const storageUnavailable = () => tryAgain('The key backup is not available at the moment.');

/** Too many bodies for the memory limit: nothing was stored, the client should try again. */
export const bodiesAtOnce = () => tryAgain('Too many uploads in progress. Try again later.');

/** An unexpected error: its cause is logged, and never part of the response. */
export const internalError = () => matrixError(500, 'M_UNKNOWN', 'Internal server error');
