/**
 * The kinds of settings: how the text of an environment variable becomes a value, or is refused. What a refusal says
 * continues the sentence that the variable's name begins; `{name}`, `{text}` and `{example}` in it are those of the setting.
 */
import { availableParallelism } from 'node:os';

/** A setting that cannot be used: each line of the message says what is wrong, and what to set. */
export class SettingError extends Error {}

/** @throws SettingError for a text that it cannot use */
export type Parser<T> = (text: string) => T;

/** @param read undefined for a text that is refused */
const kind =
  <T>(read: (text: string) => T | undefined, refusal: string): Parser<T> =>
  (text) => {
    const value = read(text);
    if (value === undefined) throw new SettingError(refusal);
    return value;
  };

const matching = (pattern: RegExp, refusal: string) =>
  kind((text) => (pattern.test(text) ? text : undefined), refusal);

/** A text that is not looked at further. */
export const anyText: Parser<string> = (text) => text;

/** A whole number, in decimal digits. */
export const whole = (least: number, most: number, alternative = '') =>
  kind((text) => {
    const value = /^[0-9]+$/.test(text) ? Number(text) : NaN;
    return value >= least && value <= most ? value : undefined;
  }, `is '{text}'. Set a whole number from ${least} to ${most}, for example {example}${alternative}.`);

/** A number of processes, or `auto` for one per processor core. */
export const processes: Parser<number> = (text) =>
  text === 'auto' ? availableParallelism() : whole(1, 256, ", or 'auto'")(text);

const choice = new Intl.ListFormat('en-GB', { type: 'disjunction' });

/** One of a few words. */
export const oneOf = <const Words extends readonly string[]>(...words: Words) =>
  kind<Words[number]>(
    (text) => words.find((word) => word === text),
    `is '{text}'. Set ${choice.format(words.map((word) => `'${word}'`))}.`,
  );

/** Yes or no. */
export const flag: Parser<boolean> = (text) => oneOf('true', 'false')(text) === 'true';

/** Permissions of a file. */
export const fileMode = kind(
  (text) => (/^0?[0-7]{3}$/.test(text) ? parseInt(text, 8) : undefined),
  "is '{text}'. Set three octal digits, for example {example}.",
);

/** As much as the operating system has room for. */
const LONGEST_SOCKET_PATH = 107;

/** Whether a host is the path of a Unix socket. */
export const isSocketPath = (host: string): boolean => host.startsWith('/');

/** A host name, an address, or the absolute path of a Unix socket. */
export const hostOrSocket = kind((text) => {
  const isSocket = /^\/.*[^/]$/s.test(text) && Buffer.byteLength(text) <= LONGEST_SOCKET_PATH;
  return isSocket || !text.includes('/') ? text : undefined;
}, `is '{text}', neither an address nor the path of a socket. Set the absolute path of a Unix socket, at most ${LONGEST_SOCKET_PATH} bytes long, for example {name}=/run/room-keys/api.sock.`);

/** A host name or an address, where no socket is supported. */
export const networkHost = matching(
  /^[^/]*$/,
  "is '{text}', and Unix sockets are not supported here. Set an address, for example {name}=127.0.0.1.",
);

/** One certificate or more, as PEM. */
export const certificates = matching(
  /-----BEGIN CERTIFICATE-----/,
  'does not contain a certificate. Set it to one in PEM format, which begins with -----BEGIN CERTIFICATE-----, or set {name}_FILE to its file.',
);

/** Texts after commas; those that are empty do not count. */
const list: Parser<string[]> = (text) =>
  text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');

/** A list, or `*` for everything. */
export const listOrAny: Parser<string[] | '*'> = (text) => {
  const entries = list(text);
  return entries.includes('*') ? '*' : entries;
};

/** User ids after commas, in which `*` stands for any characters. */
export const userIdPatterns: Parser<string[]> = (text) => {
  const patterns = list(text);
  const wrong = patterns.find((pattern) => !/^@[^\s:]*:\S+$/.test(pattern));
  if (wrong === undefined) return patterns;
  throw new SettingError(
    `contains '${wrong}', which is not a user id. Set user ids separated by commas, for example {example}.`,
  );
};

/** Tokens and their owners, after commas: `token=@user:server`. */
export const tokensOfUsers: Parser<{ token: string; userId: string }[]> = (text) =>
  text.split(',').map((pair) => tokenOfUser(pair.trim()));

const tokenOfUser = kind((pair) => {
  const [, token, userId] = /^([^\s=]+)=(@[^:\s]*:\S+)$/.exec(pair) ?? [];
  return token !== undefined && userId !== undefined ? { token, userId } : undefined;
}, "is not a list of tokens and users. Set 'token=@user:server', or several separated by commas.");

/** A host name or an address, and perhaps a port; neither a URL nor a user id. */
export const serverName = matching(
  /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/,
  "is not a server name. Set the part of user ids after the colon, for example '{example}'.",
);

/** A URI of any scheme. */
export const uri = kind(
  (text) => (URL.canParse(text) ? text : undefined),
  'is not a URI. Set one, for example {example}.',
);

const url = (protocols: RegExp, name: string) =>
  kind((text) => {
    const value = URL.canParse(text) ? new URL(text) : undefined;
    return value?.hostname && protocols.test(value.protocol) ? value : undefined;
  }, `is not ${name} URL. Set one, for example {example}.`);

/** `redis://…` or `rediss://…`. */
export const redisUrl = url(/^rediss?:$/, 'a Redis');

const httpUrl = url(/^https?:$/, 'an HTTP or HTTPS');

/** As curl, nginx and Python's libraries write a socket. */
const UNIX_SOCKET = /^(\/|(http\+)?unix:|https?:\/\/(unix:|%2f))/i;

/** The URL of an HTTP service, without credentials. */
export const serviceUrl: Parser<URL> = (text) => {
  if (UNIX_SOCKET.test(text)) {
    throw new SettingError(
      'is a Unix socket, which is not supported. Set the address at which the service listens for HTTP, for example {example}.',
    );
  }
  const value = httpUrl(text);
  if (!value.username && !value.password && !value.search && !value.hash) return value;
  throw new SettingError(
    'contains a user, a password, a query or a fragment. Set a URL without these, for example {example}.',
  );
};

/** The base URL of a homeserver: its paths are added to it. */
export const homeserverUrl: Parser<URL> = (text) => {
  const value = serviceUrl(text);
  if (!value.pathname.includes('/_matrix')) return value;
  throw new SettingError(
    "contains '/_matrix'. Set the base URL of the homeserver, for example {example}.",
  );
};

/** The host of a URL, an address of IPv6 without its brackets. */
export const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, '$1');
