import { isLocal, isSocket } from './database-url.js';
import { type Environment, readEnvironment, sourceOf, type Variables } from './environment.js';
import { isSocketPath } from './setting-parsers.js';
import type { SettingName } from './settings.js';

/** Settings that do nothing beside what the others say. */
interface Idleness {
  names: readonly SettingName[];
  /** Whether it is so. */
  isSo: (environment: Environment) => boolean;
  /** What follows `has no effect`: when, and what to set. */
  words: string;
}

const isAsked = ({ homeserver, introspection }: Environment) =>
  homeserver !== undefined || introspection !== undefined;

const IDLE: readonly Idleness[] = [
  {
    names: ['PORT'],
    isSo: ({ host }) => isSocketPath(host),
    words: 'with a Unix socket in HOST. Set HOST to an address',
  },
  {
    names: ['SOCKET_MODE'],
    isSo: ({ host }) => !isSocketPath(host),
    words: 'unless HOST is a Unix socket. Set HOST to the path of one',
  },
  {
    names: ['DATABASE_TLS'],
    isSo: ({ databaseUrl, databaseTls }) => isLocal(databaseUrl) && databaseTls !== 'off',
    words: 'with a SQLite file. Set DATABASE_URL to a database server',
  },
  {
    names: ['DATABASE_TLS', 'DATABASE_TLS_CA'],
    isSo: ({ databaseUrl, databaseTls }) => isSocket(databaseUrl) && databaseTls !== 'off',
    words: 'on a Unix socket. Set the host of the database in DATABASE_URL',
  },
  {
    names: ['DATABASE_CONNECTIONS'],
    isSo: ({ databaseUrl }) => isLocal(databaseUrl),
    words: 'with a SQLite file, which has one connection. Set DATABASE_URL to a database server',
  },
  {
    names: ['DATABASE_TLS_CA'],
    isSo: ({ databaseUrl, databaseTls }) => isLocal(databaseUrl) || databaseTls === 'off',
    words: 'without TLS. Set DATABASE_TLS=verify-full for an encrypted connection',
  },
  {
    names: [
      'RATE_LIMIT_READS_PER_SECOND',
      'RATE_LIMIT_READS_BURST',
      'RATE_LIMIT_WRITES_PER_SECOND',
      'RATE_LIMIT_WRITES_BURST',
      'RATE_LIMIT_EXEMPT',
      'REDIS_URL',
    ],
    isSo: ({ rates }) => !rates,
    words: 'with RATE_LIMIT=off. Set RATE_LIMIT=on',
  },
  {
    names: [
      'TOKEN_CHECK_TIMEOUT_MS',
      'TOKEN_CHECKS_AT_ONCE',
      'TOKEN_CACHE_TTL_MS',
      'TOKEN_CACHE_MAX',
    ],
    isSo: (environment) => !isAsked(environment),
    words: 'unless a service verifies access tokens. Set HOMESERVER_URL or INTROSPECTION_URL',
  },
  {
    names: ['SERVER_NAME'],
    isSo: ({ introspection }) => !introspection,
    words:
      'without INTROSPECTION_URL, since a homeserver returns full user ids. Set INTROSPECTION_URL to verify tokens there',
  },
  {
    names: ['BODY_IDLE_TIMEOUT_MS'],
    isSo: ({ bodyIdleTimeoutMs, requestTimeoutMs }) => bodyIdleTimeoutMs > requestTimeoutMs,
    words:
      'if it is longer than REQUEST_TIMEOUT_MS, which ends a request earlier. Set a longer REQUEST_TIMEOUT_MS for slow clients',
  },
  {
    names: ['MAX_SESSION_DATA_BYTES'],
    isSo: ({ maxSessionDataBytes = 0, maxBodyBytes }) => maxSessionDataBytes > maxBodyBytes,
    words:
      'if it is larger than MAX_BODY_BYTES, which refuses the request earlier. Set a larger MAX_BODY_BYTES for such keys',
  },
  {
    names: ['MAX_AUTH_DATA_BYTES'],
    isSo: ({ maxAuthDataBytes = 0, maxBodyBytes }) => maxAuthDataBytes > maxBodyBytes,
    words:
      'if it is larger than MAX_BODY_BYTES, which refuses the request earlier. Set a larger MAX_BODY_BYTES for such backups',
  },
  {
    names: ['LIMITS_INFO_URI'],
    isSo: ({ limits: { keysPerBackup, bytesPerUser, backupsPerUser } }) =>
      (keysPerBackup ?? bytesPerUser ?? backupsPerUser) === undefined,
    words:
      'without a limit that it is about. Set MAX_KEYS_PER_BACKUP, MAX_BYTES_PER_USER or MAX_BACKUPS_PER_USER',
  },
  {
    names: ['LOG_USER_IDS'],
    isSo: ({ logUserIds, logLevel }) => logUserIds && ['error', 'fatal'].includes(logLevel),
    words: 'with a LOG_LEVEL that omits requests. Set LOG_LEVEL=info',
  },
];

/**
 * Reports settings that are set but have no effect: not an error, since the feature that they belong
 * to may be turned off for a while.
 *
 * @param variables whose settings are good
 * @returns for each reason, what has no effect and what to set
 */
export function idleSettings(variables: Variables): string[] {
  const environment = readEnvironment(variables);
  return IDLE.filter(({ isSo }) => isSo(environment)).flatMap(({ names, words }) => {
    const set = names.flatMap((name) => sourceOf(variables, name) ?? []);
    if (set.length === 0) return [];
    return `${set.join(', ')} ${set.length === 1 ? 'has' : 'have'} no effect ${words}, or remove ${set.length === 1 ? 'it' : 'them'}.`;
  });
}
