import { isLocal, isSocket } from './database-url.js';
import { type Environment, readEnvironment, sourceOf } from './environment.js';
import { isSocketPath } from './setting-parsers.js';
import type { SettingName, Variables } from './settings.js';

/** Why settings do nothing beside what the others say: what follows `has no effect`, when and what to set. */
function reasonsIn(environment: Environment): Partial<Record<SettingName, string | false>> {
  const { host, databaseUrl, limits, maxBodyBytes, requestTimeoutMs } = environment;
  const { maxSessionDataBytes = 0, maxAuthDataBytes = 0 } = environment;
  const isTls = environment.databaseTls !== 'off';
  const onSocket =
    isSocket(databaseUrl) && 'on a Unix socket. Set the host of the database in DATABASE_URL';
  const noService =
    !environment.homeserver &&
    !environment.introspection &&
    'without token verification. Set HOMESERVER_URL or INTROSPECTION_URL';
  const larger = (what: string) =>
    `if it is larger than MAX_BODY_BYTES, which refuses the request earlier. Set a larger MAX_BODY_BYTES for such ${what}`;
  const noRates = !environment.rates && 'with RATE_LIMIT=off. Set RATE_LIMIT=on';
  return {
    DATABASE_TLS:
      isTls &&
      (isLocal(databaseUrl)
        ? 'with a SQLite file. Set DATABASE_URL to a database server'
        : onSocket),
    DATABASE_TLS_CA:
      isTls && !isLocal(databaseUrl)
        ? onSocket
        : 'without TLS. Set DATABASE_TLS=verify-full for an encrypted connection',
    DATABASE_CONNECTIONS:
      isLocal(databaseUrl) &&
      'with a SQLite file, which has one connection. Set DATABASE_URL to a database server',
    PORT: isSocketPath(host) && 'with a Unix socket in HOST. Set HOST to an address',
    SOCKET_MODE: !isSocketPath(host) && 'unless HOST is a Unix socket. Set HOST to the path of one',
    SERVER_NAME:
      !environment.introspection &&
      'without INTROSPECTION_URL, since a homeserver returns full user ids. Set INTROSPECTION_URL to verify tokens there',
    TOKEN_CHECK_TIMEOUT_MS: noService,
    TOKEN_CHECKS_AT_ONCE: noService,
    TOKEN_CACHE_TTL_MS: noService,
    TOKEN_CACHE_MAX: noService,
    BODY_IDLE_TIMEOUT_MS:
      environment.bodyIdleTimeoutMs > requestTimeoutMs &&
      'if it is longer than REQUEST_TIMEOUT_MS, which ends a request earlier. Set a longer REQUEST_TIMEOUT_MS for slow clients',
    MAX_SESSION_DATA_BYTES: maxSessionDataBytes > maxBodyBytes && larger('keys'),
    MAX_AUTH_DATA_BYTES: maxAuthDataBytes > maxBodyBytes && larger('backups'),
    LIMITS_INFO_URI:
      (limits.keysPerBackup ?? limits.bytesPerUser ?? limits.backupsPerUser) === undefined &&
      'without a limit on keys, bytes or backups. Set MAX_KEYS_PER_BACKUP, MAX_BYTES_PER_USER or MAX_BACKUPS_PER_USER',
    LOG_USER_IDS:
      environment.logUserIds &&
      ['error', 'fatal'].includes(environment.logLevel) &&
      'with a LOG_LEVEL that omits requests. Set LOG_LEVEL=info',
    RATE_LIMIT_READS_PER_SECOND: noRates,
    RATE_LIMIT_READS_BURST: noRates,
    RATE_LIMIT_WRITES_PER_SECOND: noRates,
    RATE_LIMIT_WRITES_BURST: noRates,
    RATE_LIMIT_EXEMPT: noRates,
    REDIS_URL: noRates,
  };
}

/**
 * Reports settings that are set but have no effect: not an error, since the feature that they belong
 * to may be turned off for a while.
 *
 * @param variables whose settings are good
 * @returns for each reason, what has no effect and what to set
 */
export function idleSettings(variables: Variables): string[] {
  const namesOf = new Map<string, string[]>();
  for (const [name, reason] of Object.entries(reasonsIn(readEnvironment(variables)))) {
    const source = sourceOf(variables, name as SettingName);
    if (reason && source !== undefined)
      namesOf.set(reason, [...(namesOf.get(reason) ?? []), source]);
  }
  return [...namesOf].map(([reason, names]) => {
    const [verb, pronoun] = names.length === 1 ? ['has', 'it'] : ['have', 'them'];
    return `${names.join(', ')} ${verb} no effect ${reason}, or remove ${pronoun}.`;
  });
}
