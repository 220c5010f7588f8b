import type { IncomingMessage } from 'node:http';
import { isId } from '../room-keys/json/ids.js';
import { MatrixError } from '../room-keys/room-keys.errors.js';
import type { AccessTokenVerifier } from '../room-keys/room-keys-options.interface.js';
import { fixedTokens } from './fixed-tokens.js';
import { checkText } from './option-checks.js';

/**
 * An application service, such as a bridge, as its registration file describes it.
 *
 * @publicApi
 */
export interface ApplicationService {
  /** The `as_token` of the registration. Required, no default. */
  token: string;

  /**
   * The service's own user, such as `@bridge:example.org`: the `sender_localpart` of the
   * registration at its homeserver. Used when a request names no user. Required, no default.
   */
  userId: string;

  /**
   * The users that it may act as: each `regex` below `namespaces.users` of the registration, matched
   * from the start of the user id. Users of other homeservers never match. Default: only `userId`.
   */
  users?: readonly string[] | undefined;

  /**
   * `rate_limited` of the registration: whether request limits apply to the users that it acts as.
   * They never apply to `userId`. Default: true, as on homeservers.
   */
  rateLimited?: boolean | undefined;
}

/**
 * A verifier for the tokens of application services, without a request to a homeserver. The query
 * parameters `user_id` and `device_id` select the user and device that a service acts as; a user
 * outside its namespace is refused with 403 `M_FORBIDDEN`. Unlike a homeserver, it does not check
 * that the user and device exist.
 *
 * @throws Error immediately, for an invalid description
 * @publicApi
 */
export function applicationServiceTokens(
  services: readonly ApplicationService[],
): AccessTokenVerifier {
  const find = fixedTokens(
    services.map(({ token, userId, users = [], rateLimited = true }) => {
      checkText('token', token, 'the as_token of the registration');
      if (!/^@[^:]*:./.test(userId))
        throw new Error("'userId' must be a user id. Set one, for example '@bridge:example.org'.");
      if (typeof rateLimited !== 'boolean')
        throw new Error("'rateLimited' must be true or false, as in the registration.");
      const server = serverOf(userId);
      return { token, userId, server, users: users.map(startingWith), rateLimited };
    }),
  );
  return (token, request) => {
    const service = find(token);
    if (!service) return null;
    const masquerade = masqueradeOf(request);
    const userId = masquerade.get('user_id') ?? service.userId;
    const isItsOwn =
      userId === service.userId ||
      (serverOf(userId) === service.server &&
        isId(userId) &&
        service.users.some((namespace) => namespace.test(userId)));
    if (!isItsOwn) throw foreignUser();
    const deviceId = masqueradeDevice(masquerade);
    if (deviceId !== undefined && !isId(deviceId)) throw noSuchDevice();
    const isFree = !service.rateLimited || userId === service.userId;
    return { userId, deviceId, isRateLimited: isFree ? false : undefined };
  };
}

const foreignUser = () =>
  new MatrixError(403, {
    errcode: 'M_FORBIDDEN',
    error: 'The application service cannot act as this user.',
  });

const noSuchDevice = () =>
  new MatrixError(400, {
    errcode: 'M_UNKNOWN_DEVICE',
    error: 'The application service cannot act as a device with such an id.',
  });

/** Homeservers anchor the regular expressions of registrations at the start, not at the end. */
function startingWith(pattern: string): RegExp {
  try {
    return new RegExp(`^(?:${pattern})`);
  } catch {
    throw new Error(
      "'users' must be regular expressions. Set some, for example '@_bridge_.*:example\\\\.org'.",
    );
  }
}

/** Undefined if the text is not a user id. */
function serverOf(userId: string): string | undefined {
  return /^@[^:]*:(.+)$/s.exec(userId)?.[1];
}

/** `device_id` is stable since Matrix 1.17; before, the parameter had the prefix of its proposal. */
const PARAMETERS = ['user_id', 'device_id', 'org.matrix.msc3202.device_id'] as const;

/**
 * The query parameters with which an application service acts as one of its users. If a parameter is
 * given twice, the first counts, as on homeservers.
 */
export function masqueradeOf({ url = '' }: IncomingMessage): URLSearchParams {
  const mark = url.indexOf('?');
  const query = new URLSearchParams(mark === -1 ? '' : url.slice(mark));
  const masquerade = new URLSearchParams();
  for (const name of PARAMETERS) {
    const value = query.get(name);
    if (value !== null) masquerade.set(name, value);
  }
  return masquerade;
}

/** The device that the application service acts as. */
function masqueradeDevice(masquerade: URLSearchParams): string | undefined {
  return masquerade.get('device_id') ?? masquerade.get('org.matrix.msc3202.device_id') ?? undefined;
}
