import { isLocal, isSocket } from './database-url.js';
import { type Environment, readEnvironment, sourceOf, type Variables } from './environment.js';
import type { SettingName } from './settings.js';

/** Settings that do nothing beside what the others say. */
interface Idleness {
  names: readonly SettingName[];
  /** Whether it is so. */
  isSo: (environment: Environment) => boolean;
  /** What stands behind `does nothing`, and what to write. */
  words: string;
}

const isAsked = ({ homeserver, introspection }: Environment) =>
  homeserver !== undefined || introspection !== undefined;

const IDLE: readonly Idleness[] = [
  {
    names: ['DATABASE_TLS'],
    isSo: ({ databaseUrl, databaseTls }) => isLocal(databaseUrl) && databaseTls !== 'off',
    words: 'with a SQLite file: write the DATABASE_URL of a database server',
  },
  {
    names: ['DATABASE_TLS', 'DATABASE_TLS_CA'],
    isSo: ({ databaseUrl, databaseTls }) => isSocket(databaseUrl) && databaseTls !== 'off',
    words: 'on a socket of this machine: write the host of the database in DATABASE_URL',
  },
  {
    names: ['DATABASE_CONNECTIONS'],
    isSo: ({ databaseUrl }) => isLocal(databaseUrl),
    words: 'with a SQLite file, which has one: write the DATABASE_URL of a database server',
  },
  {
    names: ['DATABASE_TLS_CA'],
    isSo: ({ databaseUrl, databaseTls }) => isLocal(databaseUrl) || databaseTls === 'off',
    words: 'without TLS: write DATABASE_TLS=verify-full for a connection that is encrypted',
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
    words: 'with RATE_LIMIT=off: write RATE_LIMIT=on for limits of requests',
  },
  {
    names: [
      'TOKEN_CHECK_TIMEOUT_MS',
      'TOKEN_CHECKS_AT_ONCE',
      'TOKEN_CACHE_TTL_MS',
      'TOKEN_CACHE_MAX',
    ],
    isSo: (environment) => !isAsked(environment),
    words:
      'where nobody is asked about tokens: write HOMESERVER_URL or INTROSPECTION_URL to have them checked',
  },
  {
    names: ['SERVER_NAME'],
    isSo: ({ introspection }) => !introspection,
    words:
      'without INTROSPECTION_URL, since a homeserver names its users in full: write INTROSPECTION_URL to have tokens checked there',
  },
  {
    names: ['BODY_IDLE_TIMEOUT_MS'],
    isSo: ({ bodyIdleTimeoutMs, requestTimeoutMs }) => bodyIdleTimeoutMs > requestTimeoutMs,
    words:
      'where it is more than REQUEST_TIMEOUT_MS, which ends a request before: write a longer REQUEST_TIMEOUT_MS for slow clients',
  },
  {
    names: ['MAX_SESSION_DATA_BYTES'],
    isSo: ({ maxSessionDataBytes = 0, maxBodyBytes }) => maxSessionDataBytes > maxBodyBytes,
    words:
      'where it is more than MAX_BODY_BYTES, which refuses the request before: write a larger MAX_BODY_BYTES for such keys',
  },
  {
    names: ['MAX_AUTH_DATA_BYTES'],
    isSo: ({ maxAuthDataBytes = 0, maxBodyBytes }) => maxAuthDataBytes > maxBodyBytes,
    words:
      'where it is more than MAX_BODY_BYTES, which refuses the request before: write a larger MAX_BODY_BYTES for such backups',
  },
  {
    names: ['LIMITS_INFO_URI'],
    isSo: ({ limits: { keysPerBackup, bytesPerUser, backupsPerUser } }) =>
      (keysPerBackup ?? bytesPerUser ?? backupsPerUser) === undefined,
    words:
      'without a limit to tell of: write MAX_KEYS_PER_BACKUP, MAX_BYTES_PER_USER or MAX_BACKUPS_PER_USER',
  },
  {
    names: ['LOG_USER_IDS'],
    isSo: ({ logUserIds, logLevel }) => logUserIds && ['error', 'fatal'].includes(logLevel),
    words: 'with a LOG_LEVEL that leaves requests out: write LOG_LEVEL=info',
  },
];

/**
 * Tells of settings that are set and change nothing: no reason not to start, since somebody may have
 * turned off for a while what they belong to.
 *
 * @param variables whose settings are good
 * @returns a sentence for each reason, which says what to write
 */
export function idleSettings(variables: Variables): string[] {
  const environment = readEnvironment(variables);
  return IDLE.filter(({ isSo }) => isSo(environment)).flatMap(({ names, words }) => {
    const set = names.flatMap((name) => sourceOf(variables, name) ?? []);
    if (set.length === 0) return [];
    return `${set.join(', ')} ${set.length === 1 ? 'does' : 'do'} nothing ${words}, or leave ${set.length === 1 ? 'it' : 'them'} out.`;
  });
}
