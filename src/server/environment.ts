import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { DevelopmentToken } from '../index.js';

/** What the standalone server is told by its environment. */
export interface Environment {
  /** `sqlite:PATH`, `mysql://…` or `mariadb://…`, with the password. */
  databaseUrl: URL;
  /** Whether the server runs pending migrations when it starts. */
  runMigrations: boolean;
  host: string;
  port: number;
  developmentTokens: DevelopmentToken[];
  /** Whether the development token was made up, and is to be printed. */
  developmentTokenMadeUp: boolean;
  allowedAlgorithms: string[] | '*';
  maxBodyBytes: number;
}

/** A setting that cannot be used: the message is one sentence that says what to write. */
export class SettingError extends Error {}

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * Reads the settings, with their defaults.
 *
 * @throws SettingError for the first one that cannot be used
 */
export function readEnvironment(variables: Variables): Environment {
  const host = given(variables, 'HOST') ?? '127.0.0.1';
  return {
    databaseUrl: databaseUrl(variables),
    runMigrations: flag(variables, 'RUN_MIGRATIONS', true),
    host,
    port: whole(variables, 'PORT', 8090, 0, 65535),
    ...developmentTokens(variables, host),
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
      if (url.pathname === '')
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
    url.password = encodeURIComponent(secretFrom('DATABASE_PASSWORD_FILE', passwordFile));
  return url;
}

function secretFrom(name: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').trimEnd();
  } catch (error) {
    throw new SettingError(
      `${name} cannot be read (${(error as NodeJS.ErrnoException).code}): write the path of a file that holds the password.`,
    );
  }
}

function developmentTokens(
  { DEV_TOKENS }: Variables,
  host: string,
): Pick<Environment, 'developmentTokens' | 'developmentTokenMadeUp'> {
  if (!isLoopback(host)) {
    throw new SettingError(
      `HOST is '${host}', which is not a loopback address, and development tokens are for those only: write HOST=127.0.0.1.`,
    );
  }
  if (!DEV_TOKENS) {
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
  if (text.trim() === '*') return '*';
  const names = text.split(',').map((name) => name.trim());
  return names.filter((name) => name !== '');
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
