import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { isLocal } from './database-url.js';
import { hostOf, isSocketPath, SettingError } from './setting-parsers.js';
import {
  type Setting,
  type SettingName,
  settingRows,
  SETTINGS,
  type SettingValues,
  type Variables,
} from './settings.js';
import { misspeltSettings } from './unknown-settings.js';

export type { Variables } from './settings.js';

/** The configuration of the standalone server: each setting of its environment, and values derived from several. */
export type Environment = ReturnType<typeof readEnvironment>;

/**
 * Reads the settings, with their defaults.
 *
 * @throws SettingError with a line for each that cannot be used or is misspelt; if there is none,
 *   for those that contradict each other
 */
export function readEnvironment(variables: Variables) {
  const { values, faults } = readSettings(variables);
  faults.push(...misspeltSettings(variables).flatMap(({ refusal }) => refusal ?? []));
  if (values) faults.push(...contradictionsIn(values));
  if (!values || faults.length > 0) throw new SettingError(faults.join('\n'));
  return { ...values, ...derivedFrom(values) };
}

/** The variable that a setting is taken from: its own, or that of a file; undefined where it is not set. */
export function sourceOf(variables: Variables, name: SettingName): string | undefined {
  const { secret }: Setting = SETTINGS[name];
  const names = secret ? [name, `${name}_FILE`] : [name];
  // a variable that is set to nothing counts as not set
  const [source, other] = names.filter((candidate) => variables[candidate]);
  if (other === undefined) return source;
  throw new SettingError(`${source} and ${other} are both set. Set only one of them.`);
}

function readSettings(variables: Variables) {
  const faults: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, setting] of settingRows) {
    try {
      values[camelCase(name)] = valueOf(variables, name, setting);
    } catch (error) {
      if (!(error instanceof SettingError)) throw error;
      faults.push(error.message);
    }
  }
  // the loop has made what the type says, row by row
  return { values: faults.length > 0 ? undefined : (values as SettingValues), faults };
}

function valueOf(variables: Variables, name: SettingName, setting: Setting): unknown {
  const text = textOf(variables, name) ?? setting.default;
  if (text === undefined) return undefined;
  try {
    return setting.kind(text);
  } catch (error) {
    if (!(error instanceof SettingError)) throw error;
    // a secret is never quoted, whatever the message says
    const words: Record<string, string> = {
      '{name}': name,
      '{text}': setting.secret ? '…' : text,
      '{example}': setting.default ?? setting.example,
    };
    const message = error.message.replaceAll(/\{\w+\}/g, (word) => words[word] ?? word);
    throw new SettingError(`${name} ${message}`);
  }
}

function textOf(variables: Variables, name: SettingName): string | undefined {
  const source = sourceOf(variables, name);
  if (source === undefined) return undefined;
  const text = variables[source] ?? '';
  return source === name ? text : contentOf(text, source, name);
}

function contentOf(file: string, source: string, name: string): string {
  let content: string;
  try {
    content = readFileSync(file, 'utf8').trimEnd();
  } catch (error) {
    throw new SettingError(
      `${source} cannot be read (${(error as NodeJS.ErrnoException).code}). Set the path of a file that contains ${name}, which this user may read.`,
    );
  }
  if (content !== '') return content;
  throw new SettingError(`${source} names an empty file. Write the value of ${name} into it.`);
}

function camelCase(name: string): string {
  return name.toLowerCase().replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

/** What is wrong with settings each of which is fine, but not with the others; and what to set. */
function contradictionsIn(values: SettingValues): string[] {
  const { databaseUrl, homeserverUrl, introspectionUrl, host, devTokens } = values;
  const { maxBodyBytes, maxBodyBytesAtOnce = Infinity, metricsPort, metricsHost } = values;
  const { headersTimeoutMs, requestTimeoutMs } = values;
  const { DATABASE_URL, HOMESERVER_URL, INTROSPECTION_URL, METRICS_PORT, LIMITS_INFO_URI } =
    SETTINGS;
  const exposed =
    !isLoopback(host) &&
    !isSocketPath(host) &&
    `HOST is '${host}', which is not a loopback address, and`;
  const homeserver = `HOMESERVER_URL=${HOMESERVER_URL.example}`;
  const aServer = `Set DATABASE_URL to a database server, for example ${DATABASE_URL.example}`;
  const needs = (name: string, what: string) =>
    `INTROSPECTION_URL requires ${name}. Set it to ${what}.`;
  const idle = (name: string) =>
    `${name} has no effect without INTROSPECTION_URL. Set INTROSPECTION_URL, for example to ${INTROSPECTION_URL.example}, or remove both.`;
  const [limit] =
    Object.entries({
      MAX_BACKUPS_PER_USER: values.maxBackupsPerUser,
      MAX_KEYS_PER_BACKUP: values.maxKeysPerBackup,
      MAX_BYTES_PER_USER: values.maxBytesPerUser,
    }).find(([, most]) => most !== undefined) ?? [];
  const sharedHost = metricsPort === values.port && metricsPort ? hostOfBoth(values) : undefined;
  const sentences = {
    [`DATABASE_PASSWORD is set, but DATABASE_URL names a SQLite file, which has no password. ${aServer}, or remove the password.`]:
      values.databasePassword !== undefined && isLocal(databaseUrl),
    'DATABASE_TLS=verify-full compares the host name with the certificate, but DATABASE_URL has an address. Set the host name in DATABASE_URL, or DATABASE_TLS=verify-ca.':
      values.databaseTls === 'verify-full' && isIP(hostOf(databaseUrl)),
    [`WORKERS starts ${values.workers} processes, but DATABASE_URL names a SQLite file, which only one process can use. ${aServer}, or WORKERS=1.`]:
      values.workers > 1 && isLocal(databaseUrl),
    'HOMESERVER_URL and INTROSPECTION_URL are both set, but only one service can verify access tokens. Set only one of them.':
      homeserverUrl && introspectionUrl,
    [idle('INTROSPECTION_CLIENT_ID')]:
      !introspectionUrl && values.introspectionClientId !== undefined,
    [idle('INTROSPECTION_CLIENT_SECRET')]:
      !introspectionUrl && values.introspectionClientSecret !== undefined,
    [needs('INTROSPECTION_CLIENT_ID', 'the client id of this server there')]:
      introspectionUrl && values.introspectionClientId === undefined,
    [needs(
      'INTROSPECTION_CLIENT_SECRET',
      'the secret of that client, or set INTROSPECTION_CLIENT_SECRET_FILE to a file that contains it',
    )]: introspectionUrl && values.introspectionClientSecret === undefined,
    [needs('SERVER_NAME', "the part of user ids after the colon, for example 'example.org'")]:
      introspectionUrl && values.serverName === undefined,
    [`${exposed} DEV_TOKENS is only for development. Set ${homeserver} instead, or HOST=127.0.0.1.`]:
      exposed && devTokens,
    [`${exposed} no token verification is configured. Set HOMESERVER_URL, for example ${homeserver}, or HOST=127.0.0.1.`]:
      exposed && !devTokens && !homeserverUrl && !introspectionUrl,
    [`METRICS_HOST has no effect without METRICS_PORT. Set METRICS_PORT, for example to ${METRICS_PORT.example}, or remove both.`]:
      metricsPort === undefined && metricsHost !== undefined,
    [`METRICS_PORT and PORT are both ${metricsPort} at ${sharedHost}, where only one server can listen. Set another port, for example METRICS_PORT=${METRICS_PORT.example}.`]:
      sharedHost,
    [`MAX_BODY_BYTES_AT_ONCE is ${maxBodyBytesAtOnce}, less than twice MAX_BODY_BYTES, so the largest body would never be accepted. Set ${4 * maxBodyBytes}, which is four times MAX_BODY_BYTES, or remove it.`]:
      maxBodyBytesAtOnce < 2 * maxBodyBytes,
    [`HEADERS_TIMEOUT_MS is ${headersTimeoutMs}, more than REQUEST_TIMEOUT_MS, which includes the headers. Set at most ${requestTimeoutMs}.`]:
      headersTimeoutMs > requestTimeoutMs,
    [`${limit} requires LIMITS_INFO_URI, which is sent to clients that reach the limit. Set it to a page for your users, for example ${LIMITS_INFO_URI.example}.`]:
      limit !== undefined && values.limitsInfoUri === undefined,
  };
  return Object.entries(sentences).flatMap(([sentence, isSo]) => (isSo ? sentence : []));
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** The address at which API and metrics cannot have the same port; undefined where they can. */
function hostOfBoth({ host, metricsHost = '127.0.0.1' }: SettingValues): string | undefined {
  if (isSocketPath(host)) return undefined;
  // a server that listens at all addresses has the port of each
  const [first, ...others] = new Set(
    [metricsHost, host].filter((name) => name !== '0.0.0.0' && name !== '::'),
  );
  return others.length === 0 ? (first ?? metricsHost) : undefined;
}

/** What several settings say together. */
function derivedFrom(values: SettingValues) {
  const { host, homeserverUrl, introspectionUrl, serverName, devTokens } = values;
  const { introspectionClientId: clientId, introspectionClientSecret: clientSecret } = values;
  const timeoutMs = values.tokenCheckTimeoutMs;
  const databaseUrl = new URL(values.databaseUrl);
  if (values.databasePassword !== undefined)
    databaseUrl.password = encodeURIComponent(values.databasePassword);
  const developmentTokenMadeUp = !devTokens && !homeserverUrl && !introspectionUrl;
  const token = randomBytes(24).toString('base64url');
  return {
    /** With the password of `DATABASE_PASSWORD`, if there is one. */
    databaseUrl,
    /** The homeserver that verifies access tokens by whoami; at most one of these two is set. */
    homeserver: homeserverUrl && { homeserverUrl: homeserverUrl.href, timeoutMs },
    /** The authorization server that verifies access tokens by introspection. */
    introspection:
      // the others are set if the URL is: this was checked before
      introspectionUrl &&
      clientId !== undefined &&
      clientSecret !== undefined &&
      serverName !== undefined
        ? {
            introspectionUrl: introspectionUrl.href,
            clientId,
            clientSecret,
            serverName,
            timeoutMs,
          }
        : undefined,
    /** How long verified tokens are cached, and how many. */
    tokenCache: { ttlMs: values.tokenCacheTtlMs, max: values.tokenCacheMax },
    /** How many checks of tokens are made at the same time, and how long further ones wait. */
    tokenChecks: { checksAtOnce: values.tokenChecksAtOnce, maxWaitMs: timeoutMs },
    /** Tokens that are accepted without verification; a generated one if no verification is configured. */
    developmentTokens: developmentTokenMadeUp
      ? [{ token, userId: '@dev:localhost' }]
      : (devTokens ?? []),
    /** Whether the development token was generated, and must be printed. */
    developmentTokenMadeUp,
    allowedAlgorithms: values.allowedAlgorithms ?? [],
    /** How much each user may store, in the terms of the module. */
    limits: {
      backupsPerUser: values.maxBackupsPerUser,
      keysPerBackup: values.maxKeysPerBackup,
      bytesPerUser: values.maxBytesPerUser,
      sessionDataBytes: values.maxSessionDataBytes,
      authDataBytes: values.maxAuthDataBytes,
      infoUri: values.limitsInfoUri,
    },
    /** Whether Swagger UI is served. */
    servesDocs: (values.docs ?? (isLoopback(host) ? 'on' : 'off')) === 'on',
    /** How many requests each user may make; undefined for as many as they like. */
    rates:
      values.rateLimit === 'off'
        ? undefined
        : {
            reads: { perSecond: values.rateLimitReadsPerSecond, burst: values.rateLimitReadsBurst },
            writes: {
              perSecond: values.rateLimitWritesPerSecond,
              burst: values.rateLimitWritesBurst,
            },
          },
  };
}
