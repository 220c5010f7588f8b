/** The kinds of settings: how the text of an environment variable becomes a value, or is refused. */

/** Environment variables, those of other programs among them. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** A setting that cannot be used: each line of the message is one sentence that says what to write. */
export class SettingError extends Error {}

/**
 * Makes a value of the text that an environment variable holds.
 *
 * @param name of the variable, for the message
 * @param example a text that is fine, for the message
 * @throws SettingError for a text that it cannot use; the message never quotes what may be a secret
 */
export type Kind<T> = (text: string, name: string, example: string) => T;

/** A whole number, in decimal digits. */
export const whole =
  (least: number, most: number): Kind<number> =>
  (text, name, example) => {
    const value = Number(text);
    if (!/^[0-9]+$/.test(text) || value < least || value > most) {
      throw new SettingError(
        `${name} is '${text}': write a whole number from ${least} to ${most}, such as ${example}.`,
      );
    }
    return value;
  };

/** A whole number, or `auto` for the one that `choose` finds best here. */
export const wholeOrAuto =
  (least: number, most: number, choose: () => number): Kind<number> =>
  (text, name, example) =>
    text === 'auto' ? choose() : whole(least, most)(text, name, `${example}, or 'auto'`);

/** One of a few words. */
export const oneOf =
  <T extends string>(...words: readonly [T, T, ...T[]]): Kind<T> =>
  (text, name) => {
    const word = words.find((candidate) => candidate === text);
    if (word !== undefined) return word;
    const quoted = words.map((candidate) => `'${candidate}'`);
    const choice = `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`;
    throw new SettingError(`${name} is '${text}': write ${choice}.`);
  };

/** Yes or no. */
export const flag: Kind<boolean> = (text, name, example) =>
  oneOf('true', 'false')(text, name, example) === 'true';

/** A text that is not looked at further. */
export const anyText: Kind<string> = (text) => text;

/** One certificate or more, as PEM. */
export const certificates: Kind<string> = (text, name) => {
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
  throw new SettingError(
    `${name} holds no certificate: write one in PEM, which begins with -----BEGIN CERTIFICATE-----, or its file in ${name}_FILE.`,
  );
};

/** Texts after commas; those that are empty do not count. */
export const list: Kind<string[]> = (text) =>
  text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');

/** A list, or `*` for everything. */
export const listOrAny: Kind<string[] | '*'> = (text, name, example) => {
  const entries = list(text, name, example);
  return entries.includes('*') ? '*' : entries;
};

/** A URI of any scheme. */
export const uri: Kind<string> = (text, name, example) => {
  if (URL.canParse(text)) return text;
  throw new SettingError(`${name} is not a URI: write one such as ${example}.`);
};

/** The URL of a service that is asked by HTTP, without credentials. */
export const serviceUrl: Kind<URL> = (text, name, example) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol))
    throw new SettingError(`${name} is not a URL of http or https: write one such as ${example}.`);
  if (url.username || url.password || url.search || url.hash) {
    throw new SettingError(
      `${name} holds a user, a password, a query or a fragment, which it cannot: write one such as ${example}.`,
    );
  }
  return url;
};

/** `redis://…` or `rediss://…`. */
export const redisUrl: Kind<URL> = (text, name, example) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && ['redis:', 'rediss:'].includes(url.protocol) && url.hostname) return url;
  throw new SettingError(`${name} is not a URL of Redis: write one such as ${example}.`);
};

/** The base URL of a homeserver: its paths are added to it. */
export const homeserverUrl: Kind<URL> = (text, name, example) => {
  const url = serviceUrl(text, name, example);
  if (url.pathname.includes('/_matrix')) {
    throw new SettingError(`${name} is to end before '/_matrix': write one such as ${example}.`);
  }
  return url;
};

/** A host name or an address, and perhaps a port; neither a URL nor a user id. */
export const serverName: Kind<string> = (text, name, example) => {
  if (/^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/.test(text)) return text;
  throw new SettingError(
    `${name} is no server name: write what stands after the colon in user ids, such as '${example}'.`,
  );
};

/** User ids after commas, in which `*` stands for any characters. */
export const userIdPatterns: Kind<string[]> = (text, name, example) => {
  const patterns = list(text, name, example);
  const wrong = patterns.find((pattern) => !/^@[^\s:]*:\S+$/.test(pattern));
  if (wrong === undefined) return patterns;
  throw new SettingError(
    `${name} holds '${wrong}', which is no user id: write one such as ${example}, more of them after commas.`,
  );
};

/** Tokens and their owners, after commas: `token=@user:server`. */
export const tokensOfUsers: Kind<{ token: string; userId: string }[]> = (text, name) =>
  text.split(',').map((pair) => {
    const [, token, userId] = /^([^\s=]+)=(@[^:\s]*:\S+)$/.exec(pair.trim()) ?? [];
    if (token === undefined || userId === undefined) {
      throw new SettingError(
        `${name} is not a list of tokens and users: write 'token=@user:server', more of them after commas.`,
      );
    }
    return { token, userId };
  });

/** The host of a URL, an address of IPv6 without its brackets. */
export const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, '$1');
