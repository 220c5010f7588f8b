import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type {
  DevelopmentToken,
  HomeserverTokensOptions,
  IntrospectedTokensOptions,
} from '../index.js';

/** What the standalone server is told by its environment. */
export interface Environment {
  /** `sqlite:PATH`, `mysql://…` or `mariadb://…`, with the password. */
  databaseUrl: URL;
  /** Whether the server runs pending migrations when it starts. */
  runMigrations: boolean;
  /**
   * `HOST`: the address to listen at; a loopback one, unless `HOMESERVER_URL` or
   * `INTROSPECTION_URL` is set. Default: `127.0.0.1`.
   */
  host: string;
  port: number;
  /**
   * `HOMESERVER_URL`: the homeserver that checks access tokens by whoami, such as
   * `http://synapse:8008`. `TOKEN_CHECK_TIMEOUT_MS`: milliseconds that it may take, 5,000 by
   * default. Default: none.
   */
  homeserver: HomeserverTokensOptions | undefined;
  /**
   * `INTROSPECTION_URL`: the endpoint that checks access tokens instead, such as
   * `https://auth.example.org/oauth2/introspect`. It needs `INTROSPECTION_CLIENT_ID`,
   * `INTROSPECTION_CLIENT_SECRET` or its file in `INTROSPECTION_CLIENT_SECRET_FILE`, which counts
   * for more, and `SERVER_NAME`, what stands after the colon in user ids; `TOKEN_CHECK_TIMEOUT_MS`
   * as above. Default: none.
   */
  introspection: IntrospectedTokensOptions | undefined;
  /**
   * `TOKEN_CACHE_TTL_MS`: milliseconds that a checked token is remembered, 0 for never, 30,000 by
   * default. `TOKEN_CACHE_MAX`: the most tokens that are remembered, 10,000 by default.
   */
  tokenCache: { ttlMs: number; max: number };
  /**
   * `DEV_TOKENS`: tokens that are accepted without asking anybody, on loopback only, such as
   * `token=@user:server`. Default: one that is made up, where nobody checks tokens.
   */
  developmentTokens: DevelopmentToken[];
  /** Whether the development token was made up, and is to be printed. */
  developmentTokenMadeUp: boolean;
  allowedAlgorithms: string[] | '*';
  maxBodyBytes: number;
}

/** A setting that cannot be used: the message is one sentence that says what to write. */
export class SettingError extends Error {}

type Variables = Readonly<Record<string, string | undefined>>;

const DAY_MS = 24 * 60 * 60 * 1000;
const HOMESERVER_EXAMPLE = 'https://matrix.example.org';
const INTROSPECTION_EXAMPLE = 'https://auth.example.org/oauth2/introspect';

/**
 * Reads the settings, with their defaults.
 *
 * @throws SettingError for the first one that cannot be used
 */
export function readEnvironment(variables: Variables): Environment {
  const host = given(variables, 'HOST') ?? '127.0.0.1';
  const homeserver = homeserverSettings(variables);
  const introspection = introspectionSettings(variables);
  if (homeserver && introspection) {
    throw new SettingError(
      'HOMESERVER_URL and INTROSPECTION_URL contradict each other, because one of them checks the access tokens: write only that one.',
    );
  }
  return {
    databaseUrl: databaseUrl(variables),
    runMigrations: flag(variables, 'RUN_MIGRATIONS', true),
    host,
    port: whole(variables, 'PORT', 8090, 0, 65535),
    homeserver,
    introspection,
    tokenCache: {
      ttlMs: whole(variables, 'TOKEN_CACHE_TTL_MS', 30_000, 0, DAY_MS),
      max: whole(variables, 'TOKEN_CACHE_MAX', 10_000, 1, 10_000_000),
    },
    ...developmentTokens(variables, host, Boolean(homeserver ?? introspection)),
    allowedAlgorithms: allowedAlgorithms(variables.ALLOWED_ALGORITHMS),
    maxBodyBytes: whole(variables, 'MAX_BODY_BYTES', 16 * 1024 * 1024, 1, Number.MAX_SAFE_INTEGER),
  };
}

function databaseUrl(variables: Variables): URL {
  const text = given(variables, 'DATABASE_URL') ?? 'sqlite:data/room-keys.db';
  const examples = "'sqlite:data/room-keys.db' or 'mysql://user:password@host:3306/database'";
  // never the value itself in a message: it may hold a password
  if (!URL.canParse(text)) throw new SettingError(`DATABASE_URL is not a URL: write ${examples}.`);
  const url = new URL(text);
  switch (url.protocol) {
    case 'sqlite:':
      if (
        url.pathname === '' ||
        url.hostname ||
        url.search ||
        url.hash ||
        !isDecodable(url.pathname)
      )
        throw new SettingError(`DATABASE_URL names no file: write ${examples}.`);
      break;
    case 'mysql:':
    case 'mariadb:':
      if (!url.hostname || url.pathname.length < 2) {
        throw new SettingError(`DATABASE_URL names no host or no database: write ${examples}.`);
      }
      break;
    default:
      throw new SettingError(`DATABASE_URL begins with '${url.protocol}': write ${examples}.`);
  }
  const passwordFile = variables.DATABASE_PASSWORD_FILE;
  if (passwordFile)
    url.password = encodeURIComponent(
      secretFrom('DATABASE_PASSWORD_FILE', passwordFile, 'password'),
    );
  return url;
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

function secretFrom(name: string, file: string, what: string): string {
  try {
    return readFileSync(file, 'utf8').trimEnd();
  } catch (error) {
    throw new SettingError(
      `${name} cannot be read (${(error as NodeJS.ErrnoException).code}): write the path of a file that holds the ${what}.`,
    );
  }
}

function homeserverSettings(variables: Variables): HomeserverTokensOptions | undefined {
  const url = serviceUrl(variables, 'HOMESERVER_URL', HOMESERVER_EXAMPLE);
  if (!url) return undefined;
  if (url.pathname.includes('/_matrix')) {
    throw new SettingError(
      `HOMESERVER_URL is to end before '/_matrix': write one such as ${HOMESERVER_EXAMPLE}.`,
    );
  }
  return { homeserverUrl: url.href, timeoutMs: tokenCheckTimeout(variables) };
}

function introspectionSettings(variables: Variables): IntrospectedTokensOptions | undefined {
  const url = serviceUrl(variables, 'INTROSPECTION_URL', INTROSPECTION_EXAMPLE);
  if (!url) return undefined;
  const needed = (name: string, what: string) => {
    const value = given(variables, name);
    if (value !== undefined) return value;
    throw new SettingError(`INTROSPECTION_URL needs ${name}: write ${what}.`);
  };
  const clientId = needed(
    'INTROSPECTION_CLIENT_ID',
    'the id of the client that this server is there',
  );
  const secretFile = given(variables, 'INTROSPECTION_CLIENT_SECRET_FILE');
  const clientSecret =
    secretFile === undefined
      ? needed(
          'INTROSPECTION_CLIENT_SECRET',
          'the secret of that client, or its file in INTROSPECTION_CLIENT_SECRET_FILE',
        )
      : secretFrom('INTROSPECTION_CLIENT_SECRET_FILE', secretFile, 'secret of the client');
  if (clientSecret === '') {
    throw new SettingError(
      'INTROSPECTION_CLIENT_SECRET_FILE is an empty file: write the secret of the client into it.',
    );
  }
  const serverName = needed(
    'SERVER_NAME',
    "what stands after the colon in user ids, such as 'example.org'",
  );
  // a host name or an address, and perhaps a port; neither a URL nor a user id
  if (!/^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/.test(serverName)) {
    throw new SettingError(
      "SERVER_NAME is no server name: write what stands after the colon in user ids, such as 'example.org'.",
    );
  }
  return {
    introspectionUrl: url.href,
    clientId,
    clientSecret,
    serverName,
    timeoutMs: tokenCheckTimeout(variables),
  };
}

function tokenCheckTimeout(variables: Variables): number {
  return whole(variables, 'TOKEN_CHECK_TIMEOUT_MS', 5000, 1, 600_000);
}

/** Never the value itself in a message: it may hold a password. */
function serviceUrl(variables: Variables, name: string, example: string): URL | undefined {
  const text = given(variables, name);
  if (text === undefined) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol))
    throw new SettingError(`${name} is not a URL of http or https: write one such as ${example}.`);
  if (url.username || url.password || url.search || url.hash) {
    throw new SettingError(
      `${name} holds a user, a password, a query or a fragment, which it cannot: write one such as ${example}.`,
    );
  }
  return url;
}

function developmentTokens(
  variables: Variables,
  host: string,
  hasService: boolean,
): Pick<Environment, 'developmentTokens' | 'developmentTokenMadeUp'> {
  const DEV_TOKENS = given(variables, 'DEV_TOKENS');
  if (!isLoopback(host) && DEV_TOKENS !== undefined) {
    throw new SettingError(
      `HOST is '${host}', which is not a loopback address, and DEV_TOKENS are for those only: write HOMESERVER_URL=${HOMESERVER_EXAMPLE} in their place, or HOST=127.0.0.1.`,
    );
  }
  if (!isLoopback(host) && !hasService) {
    throw new SettingError(
      `HOST is '${host}', which is not a loopback address, and nobody is named who checks access tokens: write HOMESERVER_URL=${HOMESERVER_EXAMPLE}, or HOST=127.0.0.1.`,
    );
  }
  if (DEV_TOKENS === undefined) {
    if (hasService) return { developmentTokens: [], developmentTokenMadeUp: false };
    return {
      developmentTokens: [
        { token: randomBytes(24).toString('base64url'), userId: '@dev:localhost' },
      ],
      developmentTokenMadeUp: true,
    };
  }
  const tokens = DEV_TOKENS.split(',').map((pair) => {
    const [, token, userId] = /^([^\s=]+)=(@[^:\s]*:\S+)$/.exec(pair.trim()) ?? [];
    if (token === undefined || userId === undefined) {
      throw new SettingError(
        "DEV_TOKENS is not a list of tokens and users: write 'token=@user:server', more of them after commas.",
      );
    }
    return { token, userId };
  });
  return { developmentTokens: tokens, developmentTokenMadeUp: false };
}

function allowedAlgorithms(text = ''): string[] | '*' {
  const names = text.split(',').map((name) => name.trim());
  return names.includes('*') ? '*' : names.filter((name) => name !== '');
}

function whole(
  variables: Variables,
  name: string,
  standard: number,
  least: number,
  most: number,
): number {
  const text = variables[name];
  if (!text) return standard;
  const value = Number(text);
  if (!/^[0-9]+$/.test(text) || value < least || value > most) {
    throw new SettingError(
      `${name} is '${text}': write a whole number from ${least} to ${most}, such as ${standard}.`,
    );
  }
  return value;
}

function flag(variables: Variables, name: string, standard: boolean): boolean {
  const text = variables[name];
  if (!text) return standard;
  if (text !== 'true' && text !== 'false') {
    throw new SettingError(`${name} is '${text}': write 'true' or 'false'.`);
  }
  return text === 'true';
}

/** A variable that is set to nothing counts as not set. */
function given(variables: Variables, name: string): string | undefined {
  return variables[name] === '' ? undefined : variables[name];
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
