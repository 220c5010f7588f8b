import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { RoomKeysLimits } from 'nestjs-room-keys';
import type {
  DevelopmentToken,
  HomeserverTokensOptions,
  IntrospectedTokensOptions,
} from 'nestjs-room-keys/access-tokens';
import type { RateLimitsOptions } from 'nestjs-room-keys/rate-limits';
import { isLocal } from './database-url.js';
import { hostOf, isSocketPath, SettingError, type Variables } from './setting-parsers.js';

export type { Variables } from './setting-parsers.js';
import {
  type Setting,
  type SettingName,
  settingRows,
  SETTINGS,
  type SettingValues,
} from './settings.js';
import { misspeltSettings } from './unknown-settings.js';

/** The configuration of the standalone server: each setting of its environment, and values derived from several. */
export interface Environment extends SettingValues {
  /** With the password of `DATABASE_PASSWORD`, if there is one. */
  databaseUrl: URL;
  /** The homeserver that verifies access tokens by whoami; at most one of these two is set. */
  homeserver: HomeserverTokensOptions | undefined;
  /** The authorization server that verifies access tokens by introspection. */
  introspection: IntrospectedTokensOptions | undefined;
  /** How long verified tokens are cached, and how many. */
  tokenCache: { ttlMs: number; max: number };
  /** How many checks of tokens are made at the same time, and how long further ones wait. */
  tokenChecks: { checksAtOnce: number; maxWaitMs: number };
  /** Tokens that are accepted without verification; a generated one if no verification is configured. */
  developmentTokens: DevelopmentToken[];
  /** Whether the development token was made up, and is to be printed. */
  developmentTokenMadeUp: boolean;
  allowedAlgorithms: string[] | '*';
  /** How much each user may store, in the terms of the module. */
  limits: RoomKeysLimits;
  /** Whether Swagger UI is served. */
  servesDocs: boolean;
  /** How many requests each user may make; undefined for as many as they like. */
  rates: Required<Pick<RateLimitsOptions, 'reads' | 'writes'>> | undefined;
}

/**
 * Reads the settings, with their defaults.
 *
 * @throws SettingError with a line for each that cannot be used or is misspelt; if there is none,
 *   for those that contradict each other
 */
export function readEnvironment(variables: Variables): Environment {
  const { values, faults } = readSettings(variables);
  faults.push(...misspeltSettings(variables).flatMap(({ refusal }) => refusal ?? []));
  if (values) faults.push(...contradictions(values));
  if (!values || faults.length > 0) throw new SettingError(faults.join('\n'));
  return {
    ...values,
    databaseUrl: withPassword(values),
    homeserver: homeserverOf(values),
    introspection: introspectionOf(values),
    tokenCache: { ttlMs: values.tokenCacheTtlMs, max: values.tokenCacheMax },
    tokenChecks: {
      checksAtOnce: values.tokenChecksAtOnce,
      maxWaitMs: values.tokenCheckTimeoutMs,
    },
    ...developmentTokensOf(values),
    allowedAlgorithms: values.allowedAlgorithms ?? [],
    limits: limitsOf(values),
    servesDocs: (values.docs ?? (isLoopback(values.host) ? 'on' : 'off')) === 'on',
    rates: ratesOf(values),
  };
}

/** The variable that a setting is taken from: its own, or that of a file; undefined where it is not set. */
export function sourceOf(variables: Variables, name: SettingName): string | undefined {
  const names = isSecret(name) ? [name, `${name}_FILE`] : [name];
  return names.find((candidate) => isSet(variables, candidate));
}

function readSettings(variables: Variables): {
  values: SettingValues | undefined;
  faults: string[];
} {
  const faults: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, setting] of settingRows) {
    try {
      const text = textOf(variables, name, setting) ?? setting.default;
      const example = setting.default ?? setting.example;
      values[camelCase(name)] = text === undefined ? undefined : setting.kind(text, name, example);
    } catch (error) {
      if (!(error instanceof SettingError)) throw error;
      faults.push(error.message);
    }
  }
  // the loop has made what the type says, row by row
  return { values: faults.length > 0 ? undefined : (values as SettingValues), faults };
}

function textOf(variables: Variables, name: SettingName, setting: Setting): string | undefined {
  const fileName = `${name}_FILE`;
  const file = setting.secret && isSet(variables, fileName) ? variables[fileName] : undefined;
  if (file === undefined) return isSet(variables, name) ? variables[name] : undefined;
  if (isSet(variables, name)) {
    throw new SettingError(`${name} and ${fileName} are both set. Set only one of them.`);
  }
  return contentOf(file, fileName, name);
}

function contentOf(file: string, fileName: string, name: string): string {
  let content: string;
  try {
    content = readFileSync(file, 'utf8').trimEnd();
  } catch (error) {
    throw new SettingError(
      `${fileName} cannot be read (${(error as NodeJS.ErrnoException).code}). Set the path of a file that contains ${name}, which this user may read.`,
    );
  }
  if (content !== '') return content;
  throw new SettingError(`${fileName} names an empty file. Write the value of ${name} into it.`);
}

/** A variable that is set to nothing counts as not set. */
function isSet(variables: Variables, name: string): boolean {
  return variables[name] !== undefined && variables[name] !== '';
}

function isSecret(name: SettingName): boolean {
  const setting: Setting = SETTINGS[name];
  return setting.secret ?? false;
}

function camelCase(name: string): string {
  return name.toLowerCase().replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

// --- what several settings say together ---------------------------------------------------------

/** Settings each of which is fine, but not with the others. */
function* contradictions(values: SettingValues): Generator<string, void, undefined> {
  const { databaseUrl, homeserverUrl, introspectionUrl } = values;
  if (values.databasePassword !== undefined && isLocal(databaseUrl)) {
    yield `DATABASE_PASSWORD is set, and DATABASE_URL names a SQLite file, which has no password. Set DATABASE_URL to a database server, for example ${SETTINGS.DATABASE_URL.example}, or remove the password.`;
  }
  if (values.databaseTls === 'verify-full' && isIP(hostOf(databaseUrl))) {
    yield 'DATABASE_TLS=verify-full compares the host name with the certificate, and DATABASE_URL has an address. Set the host name in DATABASE_URL, or DATABASE_TLS=verify-ca.';
  }
  if (values.workers > 1 && isLocal(databaseUrl)) {
    yield `WORKERS starts ${values.workers} processes, and DATABASE_URL names a SQLite file, which only one process can use. Set DATABASE_URL to a database server, for example ${SETTINGS.DATABASE_URL.example}, or WORKERS=1.`;
  }
  if (homeserverUrl && introspectionUrl) {
    yield 'HOMESERVER_URL and INTROSPECTION_URL are both set, and only one service can verify access tokens. Set only one of them.';
  }
  yield* incompleteIntrospection(values);
  if (!isLoopback(values.host) && !isSocketPath(values.host)) {
    const exposed = `HOST is '${values.host}', which is not a loopback address, and`;
    const homeserver = `HOMESERVER_URL=${SETTINGS.HOMESERVER_URL.example}`;
    if (values.devTokens !== undefined)
      yield `${exposed} DEV_TOKENS is only for development. Set ${homeserver} in its place, or HOST=127.0.0.1.`;
    else if (!homeserverUrl && !introspectionUrl)
      yield `${exposed} no service is configured that verifies access tokens. Set HOMESERVER_URL, for example ${homeserver}, or HOST=127.0.0.1.`;
  }
  if (values.metricsPort === undefined && values.metricsHost !== undefined) {
    yield `METRICS_HOST has no effect without METRICS_PORT. Set METRICS_PORT, for example to ${SETTINGS.METRICS_PORT.example}, or remove both.`;
  }
  const { metricsPort, metricsHost = '127.0.0.1' } = values;
  const hosts = [metricsHost, values.host];
  const [host = metricsHost, ...others] = new Set(hosts.filter((name) => !isEverywhere(name)));
  const sharesPort = metricsPort && metricsPort === values.port && !isSocketPath(values.host);
  if (sharesPort && others.length === 0) {
    yield `METRICS_PORT and PORT are both ${metricsPort} at ${host}, where only one server can listen. Set another port, for example METRICS_PORT=${SETTINGS.METRICS_PORT.example}.`;
  }
  const { maxBodyBytes, maxBodyBytesAtOnce, headersTimeoutMs, requestTimeoutMs } = values;
  if (maxBodyBytesAtOnce !== undefined && maxBodyBytesAtOnce < 2 * maxBodyBytes) {
    yield `MAX_BODY_BYTES_AT_ONCE is ${maxBodyBytesAtOnce}, less than twice MAX_BODY_BYTES, so the largest body would never be accepted. Set ${4 * maxBodyBytes}, which is four times MAX_BODY_BYTES, or remove it.`;
  }
  if (headersTimeoutMs > requestTimeoutMs) {
    yield `HEADERS_TIMEOUT_MS is ${headersTimeoutMs}, more than REQUEST_TIMEOUT_MS, which includes the headers. Set at most ${requestTimeoutMs}.`;
  }
  const perUser = Object.entries({
    MAX_BACKUPS_PER_USER: values.maxBackupsPerUser,
    MAX_KEYS_PER_BACKUP: values.maxKeysPerBackup,
    MAX_BYTES_PER_USER: values.maxBytesPerUser,
  }).find(([, limit]) => limit !== undefined);
  if (perUser && values.limitsInfoUri === undefined) {
    yield `${perUser[0]} requires LIMITS_INFO_URI, which is sent to clients that reach the limit. Set it to a page for your users, for example ${SETTINGS.LIMITS_INFO_URI.example}.`;
  }
}

function* incompleteIntrospection(values: SettingValues): Generator<string, void, undefined> {
  const { introspectionUrl, introspectionClientId, introspectionClientSecret } = values;
  const example = SETTINGS.INTROSPECTION_URL.example;
  if (!introspectionUrl) {
    if (introspectionClientId !== undefined)
      yield `INTROSPECTION_CLIENT_ID has no effect without INTROSPECTION_URL. Set INTROSPECTION_URL, for example to ${example}, or remove both.`;
    if (introspectionClientSecret !== undefined)
      yield `INTROSPECTION_CLIENT_SECRET has no effect without INTROSPECTION_URL. Set INTROSPECTION_URL, for example to ${example}, or remove both.`;
    return;
  }
  const needs = (name: string, what: string) =>
    `INTROSPECTION_URL requires ${name}. Set it to ${what}.`;
  if (introspectionClientId === undefined)
    yield needs('INTROSPECTION_CLIENT_ID', 'the client id of this server there');
  if (introspectionClientSecret === undefined)
    yield needs(
      'INTROSPECTION_CLIENT_SECRET',
      'the secret of that client, or set INTROSPECTION_CLIENT_SECRET_FILE to a file that contains it',
    );
  if (values.serverName === undefined)
    yield needs('SERVER_NAME', "the part of user ids after the colon, for example 'example.org'");
}

function withPassword({ databaseUrl, databasePassword }: SettingValues): URL {
  const url = new URL(databaseUrl);
  if (databasePassword !== undefined) url.password = encodeURIComponent(databasePassword);
  return url;
}

function homeserverOf(values: SettingValues): HomeserverTokensOptions | undefined {
  const { homeserverUrl, tokenCheckTimeoutMs: timeoutMs } = values;
  return homeserverUrl && { homeserverUrl: homeserverUrl.href, timeoutMs };
}

function introspectionOf(values: SettingValues): IntrospectedTokensOptions | undefined {
  const { introspectionUrl: url, serverName } = values;
  const { introspectionClientId: clientId, introspectionClientSecret: clientSecret } = values;
  // the others are there with the URL, or it would have been said
  if (!url || clientId === undefined || clientSecret === undefined || serverName === undefined)
    return undefined;
  const timeoutMs = values.tokenCheckTimeoutMs;
  return { introspectionUrl: url.href, clientId, clientSecret, serverName, timeoutMs };
}

function developmentTokensOf({
  devTokens,
  homeserverUrl,
  introspectionUrl,
}: SettingValues): Pick<Environment, 'developmentTokens' | 'developmentTokenMadeUp'> {
  if (devTokens) return { developmentTokens: devTokens, developmentTokenMadeUp: false };
  if (homeserverUrl ?? introspectionUrl)
    return { developmentTokens: [], developmentTokenMadeUp: false };
  const token = randomBytes(24).toString('base64url');
  return { developmentTokens: [{ token, userId: '@dev:localhost' }], developmentTokenMadeUp: true };
}

function limitsOf(values: SettingValues): RoomKeysLimits {
  return {
    backupsPerUser: values.maxBackupsPerUser,
    keysPerBackup: values.maxKeysPerBackup,
    bytesPerUser: values.maxBytesPerUser,
    sessionDataBytes: values.maxSessionDataBytes,
    authDataBytes: values.maxAuthDataBytes,
    infoUri: values.limitsInfoUri,
  };
}

function ratesOf(values: SettingValues): Environment['rates'] {
  if (values.rateLimit === 'off') return undefined;
  return {
    reads: { perSecond: values.rateLimitReadsPerSecond, burst: values.rateLimitReadsBurst },
    writes: { perSecond: values.rateLimitWritesPerSecond, burst: values.rateLimitWritesBurst },
  };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** Whether a server that listens there has the port of all addresses. */
function isEverywhere(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}
