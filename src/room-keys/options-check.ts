import { DEFAULT_MAX_BODY_BYTES } from './http/body-memory-limit.js';
import { isId } from './json/ids.js';
import {
  checkOptionRules,
  isFunction,
  isObject,
  isWhole,
  MAX_TIMER_MS,
  type OptionRule,
} from './option-rules.js';
import type { RoomKeysLimits, RoomKeysOptions } from './room-keys-options.interface.js';

/** A hundred years. */
const MOST_DAYS = 36_500;

const positive = (set: string): OptionRule => [isWhole(1), 'a whole number above 0', set];
const milliseconds = (least: number, set: string): OptionRule => [
  isWhole(least, MAX_TIMER_MS),
  `a whole number of milliseconds from ${least} to ${MAX_TIMER_MS}`,
  set,
];
const days = (set: string): OptionRule => [
  isWhole(0, MOST_DAYS),
  `a whole number of days from 0 to ${MOST_DAYS}`,
  set,
];

const rulesFor = (maxBodyBytes: number): Record<keyof RoomKeysOptions, OptionRule> => ({
  verifyAccessToken: [
    isFunction,
    'a function',
    'one that takes a token and returns { userId } or null',
  ],
  allowedAlgorithms: [
    (value) => value === '*' || (Array.isArray(value) && value.every(isId)),
    "'*' or a list of names of 1 to 255 bytes",
    "['org.example.my-algorithm']",
  ],
  maxBodyBytes: positive('16777216 for 16 MiB'),
  maxBodyBytesAtOnce: [
    isWhole(2 * maxBodyBytes),
    "a whole number, and at least twice 'maxBodyBytes'",
    `${4 * maxBodyBytes} for four of the largest bodies`,
  ],
  bodyIdleTimeoutMs: milliseconds(1, '30000 for half a minute'),
  databaseConnections: positive('7 for seven connections of the pool'),
  limits: [
    isObject,
    'an object',
    "{ keysPerBackup: 5000000, infoUri: 'https://example.org/limits' }, or leave it out",
  ],
  rateLimit: [
    (value) => value === false || isFunction(value),
    'a function or false',
    'rateLimits({ writes: { perSecond: 100 } }), or leave it out',
  ],
  sweepIntervalMs: milliseconds(0, '60000 for a minute'),
  keepDeletedDays: days('14 for two weeks'),
  historyDays: days('90 for three months'),
  observe: [isFunction, 'a function', 'one that takes an event, or leave it out'],
});

const PER_USER = ['backupsPerUser', 'keysPerBackup', 'bytesPerUser'] as const;
const LIMIT = positive('one, or leave it out for no limit');
const LIMITS: Record<keyof RoomKeysLimits, OptionRule> = {
  backupsPerUser: LIMIT,
  keysPerBackup: LIMIT,
  bytesPerUser: LIMIT,
  sessionDataBytes: LIMIT,
  authDataBytes: LIMIT,
  infoUri: [
    (value) => typeof value === 'string' && URL.canParse(value),
    'a URI',
    "one, for example 'https://example.org/limits'",
  ],
};

/** @throws Error with one sentence that says what to set instead, for the first invalid option */
export function checkOptions(options: RoomKeysOptions): void {
  if (!isObject(options)) {
    throw new Error(
      'RoomKeysModule: forRoot requires options. Use RoomKeysModule.forRoot({ verifyAccessToken: … }).',
    );
  }
  // required: null is not left out
  const given = { ...options, verifyAccessToken: (options.verifyAccessToken as unknown) ?? null };
  const maxBodyBytes: unknown = options.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES;
  checkOptionRules('RoomKeysModule', given, rulesFor(Number(maxBodyBytes)));
  const { limits } = options;
  if (!limits) return;
  checkOptionRules('RoomKeysModule', limits, LIMITS, 'limits.');
  const perUser = PER_USER.find((name) => limits[name] !== undefined);
  if (perUser !== undefined && limits.infoUri === undefined) {
    throw new Error(
      `RoomKeysModule: 'limits.${perUser}' needs 'limits.infoUri', which clients get when it is reached. Set it to a page for your users, for example 'https://example.org/limits'.`,
    );
  }
}
