/**
 * The kinds of settings, as schemas of the text of an environment variable. A message continues the sentence that the
 * variable's name begins; `{name}`, `{text}` and `{example}` in it are those of the setting.
 */
import { availableParallelism } from 'node:os';
import { z } from 'zod';

/** A text that is not looked at further. */
export const anyText = z.string();

/** A whole number, in decimal digits. */
export const whole = (least: number, most: number, alternative = '') =>
  anyText
    .refine(
      (text) => /^[0-9]+$/.test(text) && Number(text) >= least && Number(text) <= most,
      `is '{text}'. Set a whole number from ${least} to ${most}, for example {example}${alternative}.`,
    )
    .transform(Number);

const MOST_PROCESSES = 256;

/** A number of processes, or `auto` for one per processor core. */
export const processes = z.preprocess(
  (text) => (text === 'auto' ? `${Math.min(availableParallelism(), MOST_PROCESSES)}` : text),
  whole(1, MOST_PROCESSES, ", or 'auto'"),
);

const choice = new Intl.ListFormat('en-GB', { type: 'disjunction' });

/** One of a few words. */
export const oneOf = <const Words extends readonly string[]>(...words: Words) =>
  z.enum(words, `is '{text}'. Set ${choice.format(words.map((word) => `'${word}'`))}.`);

/** Yes or no. */
export const flag = oneOf('true', 'false').transform((word) => word === 'true');

/** Permissions of a file. */
export const fileMode = anyText
  .regex(/^0?[0-7]{3}$/, "is '{text}'. Set three octal digits, for example {example}.")
  .transform((text) => parseInt(text, 8));

/** As much as the operating system has room for. */
const LONGEST_SOCKET_PATH = 107;

/** Whether a host is the path of a Unix socket. */
export const isSocketPath = (host: string): boolean => host.startsWith('/');

/** A host name or an address, where no socket is supported. */
export const networkHost = anyText.refine(
  (text) => !text.includes('/'),
  "is '{text}', and Unix sockets are not supported here. Set an address, for example {name}=127.0.0.1.",
);

/** A host name, an address, or the absolute path of a Unix socket. */
export const hostOrSocket = anyText.refine(
  (text) =>
    !text.includes('/') ||
    (/^\/.*[^/]$/s.test(text) && Buffer.byteLength(text) <= LONGEST_SOCKET_PATH),
  `is '{text}', neither an address nor the path of a socket. Set the absolute path of a Unix socket, at most ${LONGEST_SOCKET_PATH} bytes long, for example {name}=/run/room-keys/api.sock.`,
);

/** One certificate or more, as PEM. */
export const certificates = anyText.includes(
  '-----BEGIN CERTIFICATE-----',
  'does not contain a certificate. Set it to one in PEM format, which begins with -----BEGIN CERTIFICATE-----, or set {name}_FILE to its file.',
);

/** Texts after commas; those that are empty do not count. */
const list = anyText.transform((text) =>
  text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== ''),
);

/** A list, or `*` for everything. */
export const listOrAny = list.transform((entries) =>
  entries.includes('*') ? ('*' as const) : entries,
);

const isUserId = (pattern: string) => /^@[^\s:]*:\S+$/.test(pattern);

/** User ids after commas, in which `*` stands for any characters. */
export const userIdPatterns = list.refine((patterns) => patterns.every(isUserId), {
  error: ({ input }) =>
    `contains '${(input as string[]).find((pattern) => !isUserId(pattern))}', which is not a user id. Set user ids separated by commas, for example {example}.`,
});

/** Tokens and their owners, after commas: `token=@user:server`. */
export const tokensOfUsers = anyText
  .transform((text) =>
    text.split(',').map((pair) => /^([^\s=]+)=(@[^:\s]*:\S+)$/.exec(pair.trim()) ?? []),
  )
  .refine(
    (pairs) => pairs.every(({ length }) => length > 0),
    "is not a list of tokens and users. Set 'token=@user:server', or several separated by commas.",
  )
  .transform((pairs) => pairs.map(([, token = '', userId = '']) => ({ token, userId })));

/** A host name or an address, and perhaps a port; neither a URL nor a user id. */
export const serverName = anyText.regex(
  /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/,
  "is not a server name. Set the part of user ids after the colon, for example '{example}'.",
);

/** A URI of any scheme. */
export const uri = anyText.refine(
  (text) => URL.canParse(text),
  'is not a URI. Set one, for example {example}.',
);

const url = (protocols: RegExp, name: string) => {
  const fault = `is not ${name} URL. Set one, for example {example}.`;
  return anyText
    .refine((text) => URL.canParse(text), fault)
    .transform((text) => new URL(text))
    .refine(({ protocol, hostname }) => protocols.test(protocol) && hostname !== '', fault);
};

/** `redis://…` or `rediss://…`. */
export const redisUrl = url(/^rediss?:$/, 'a Redis');

/** As curl, nginx and Python's libraries write a socket. */
const UNIX_SOCKET = /^(\/|(http\+)?unix:|https?:\/\/(unix:|%2f))/i;

/** The URL of an HTTP service, without credentials. */
export const serviceUrl = anyText
  .refine(
    (text) => !UNIX_SOCKET.test(text),
    'is a Unix socket, which is not supported. Set the address at which the service listens for HTTP, for example {example}.',
  )
  .pipe(url(/^https?:$/, 'an HTTP or HTTPS'))
  .refine(
    ({ username, password, search, hash }) => !(username || password || search || hash),
    'contains a user, a password, a query or a fragment. Set a URL without these, for example {example}.',
  );

/** The base URL of a homeserver: its paths are added to it. */
export const homeserverUrl = serviceUrl.refine(
  ({ pathname }) => !pathname.includes('/_matrix'),
  "contains '/_matrix'. Set the base URL of the homeserver, for example {example}.",
);

/** The host of a URL, an address of IPv6 without its brackets. */
export const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, '$1');
