/** The kinds of settings: how the text of an environment variable becomes a value, or is refused. */

/** Environment variables, those of other programs among them. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** A setting that cannot be used: each line of the message says what is wrong, and what to set. */
export class SettingError extends Error {}

/**
 * Makes a value of the text that an environment variable holds.
 *
 * @param name of the variable, for the message
 * @param example a text that is fine, for the message
 * @throws SettingError for a text that it cannot use; the message never quotes what may be a secret
 */
export type Parser<T> = (text: string, name: string, example: string) => T;

/** A whole number, in decimal digits. */
export const whole =
  (least: number, most: number): Parser<number> =>
  (text, name, example) => {
    const value = Number(text);
    if (!/^[0-9]+$/.test(text) || value < least || value > most) {
      throw new SettingError(
        `${name} is '${text}'. Set a whole number from ${least} to ${most}, for example ${example}.`,
      );
    }
    return value;
  };

/** A whole number, or `auto` for the one that `choose` finds best here. */
export const wholeOrAuto =
  (least: number, most: number, choose: () => number): Parser<number> =>
  (text, name, example) =>
    text === 'auto' ? choose() : whole(least, most)(text, name, `${example}, or 'auto'`);

/** One of a few words. */
export const oneOf =
  <T extends string>(...words: readonly [T, T, ...T[]]): Parser<T> =>
  (text, name) => {
    const word = words.find((candidate) => candidate === text);
    if (word !== undefined) return word;
    const quoted = words.map((candidate) => `'${candidate}'`);
    const choice = `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`;
    throw new SettingError(`${name} is '${text}'. Set ${choice}.`);
  };

/** Yes or no. */
export const flag: Parser<boolean> = (text, name, example) =>
  oneOf('true', 'false')(text, name, example) === 'true';

/** A text that is not looked at further. */
export const anyText: Parser<string> = (text) => text;

/** Permissions of a file, in octal digits. */
export const fileMode: Parser<number> = (text, name, example) => {
  if (/^0?[0-7]{3}$/.test(text)) return parseInt(text, 8);
  throw new SettingError(`${name} is '${text}'. Set three octal digits, for example ${example}.`);
};

/** As much as the operating system has room for. */
const LONGEST_SOCKET_PATH = 107;

/** A host name, an address, or the absolute path of a Unix socket. */
export const hostOrSocket: Parser<string> = (text, name) => {
  if (!text.includes('/')) return text;
  if (isSocketPath(text) && !text.endsWith('/') && Buffer.byteLength(text) <= LONGEST_SOCKET_PATH)
    return text;
  throw new SettingError(
    `${name} is '${text}', neither an address nor the path of a socket. Set the absolute path of a Unix socket, at most ${LONGEST_SOCKET_PATH} bytes long, for example ${name}=/run/room-keys/api.sock.`,
  );
};

/** Whether a host is the path of a Unix socket. */
export const isSocketPath = (host: string): boolean => host.startsWith('/');

/** A host name or an address, where no socket is supported. */
export const networkHost: Parser<string> = (text, name) => {
  if (!text.includes('/')) return text;
  throw new SettingError(
    `${name} is '${text}', and Unix sockets are not supported here. Set an address, for example ${name}=127.0.0.1.`,
  );
};

/** One certificate or more, as PEM. */
export const certificates: Parser<string> = (text, name) => {
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
  throw new SettingError(
    `${name} does not contain a certificate. Set it to one in PEM format, which begins with -----BEGIN CERTIFICATE-----, or set ${name}_FILE to its file.`,
  );
};

/** Texts after commas; those that are empty do not count. */
export const list: Parser<string[]> = (text) =>
  text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');

/** A list, or `*` for everything. */
export const listOrAny: Parser<string[] | '*'> = (text, name, example) => {
  const entries = list(text, name, example);
  return entries.includes('*') ? '*' : entries;
};

/** A URI of any scheme. */
export const uri: Parser<string> = (text, name, example) => {
  if (URL.canParse(text)) return text;
  throw new SettingError(`${name} is not a URI. Set one, for example ${example}.`);
};

/** As curl, nginx and Python's libraries write a socket. */
const UNIX_SOCKET = /^(\/|(http\+)?unix:|https?:\/\/(unix:|%2f))/i;

/** The URL of an HTTP service, without credentials. */
export const serviceUrl: Parser<URL> = (text, name, example) => {
  if (UNIX_SOCKET.test(text)) {
    throw new SettingError(
      `${name} is a Unix socket, which is not supported. Set the address at which the service listens for HTTP, for example ${example}.`,
    );
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol))
    throw new SettingError(`${name} is not an HTTP or HTTPS URL. Set one, for example ${example}.`);
  if (url.username || url.password || url.search || url.hash) {
    throw new SettingError(
      `${name} contains a user, a password, a query or a fragment. Set a URL without these, for example ${example}.`,
    );
  }
  return url;
};

/** `redis://…` or `rediss://…`. */
export const redisUrl: Parser<URL> = (text, name, example) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && ['redis:', 'rediss:'].includes(url.protocol) && url.hostname) return url;
  throw new SettingError(`${name} is not a Redis URL. Set one, for example ${example}.`);
};

/** The base URL of a homeserver: its paths are added to it. */
export const homeserverUrl: Parser<URL> = (text, name, example) => {
  const url = serviceUrl(text, name, example);
  if (url.pathname.includes('/_matrix')) {
    throw new SettingError(
      `${name} contains '/_matrix'. Set the base URL of the homeserver, for example ${example}.`,
    );
  }
  return url;
};

/** A host name or an address, and perhaps a port; neither a URL nor a user id. */
export const serverName: Parser<string> = (text, name, example) => {
  if (/^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/.test(text)) return text;
  throw new SettingError(
    `${name} is not a server name. Set the part of user ids after the colon, for example '${example}'.`,
  );
};

/** User ids after commas, in which `*` stands for any characters. */
export const userIdPatterns: Parser<string[]> = (text, name, example) => {
  const patterns = list(text, name, example);
  const wrong = patterns.find((pattern) => !/^@[^\s:]*:\S+$/.test(pattern));
  if (wrong === undefined) return patterns;
  throw new SettingError(
    `${name} contains '${wrong}', which is not a user id. Set user ids separated by commas, for example ${example}.`,
  );
};

/** Tokens and their owners, after commas: `token=@user:server`. */
export const tokensOfUsers: Parser<{ token: string; userId: string }[]> = (text, name) =>
  text.split(',').map((pair) => {
    const [, token, userId] = /^([^\s=]+)=(@[^:\s]*:\S+)$/.exec(pair.trim()) ?? [];
    if (token === undefined || userId === undefined) {
      throw new SettingError(
        `${name} is not a list of tokens and users. Set 'token=@user:server', and further ones after commas.`,
      );
    }
    return { token, userId };
  });

/** The host of a URL, an address of IPv6 without its brackets. */
export const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, '$1');
