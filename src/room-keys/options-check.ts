import { DEFAULT_MAX_BODY_BYTES } from './http/body-memory-limit.js';
import type { RoomKeysLimits, RoomKeysOptions } from './room-keys-options.interface.js';

const KNOWN = new Set<string>([
  'verifyAccessToken',
  'allowedAlgorithms',
  'maxBodyBytes',
  'maxBodyBytesAtOnce',
  'bodyIdleTimeoutMs',
  'databaseConnections',
  'limits',
  'rateLimit',
  'sweepIntervalMs',
  'keepDeletedDays',
  'historyDays',
  'observe',
] satisfies (keyof RoomKeysOptions)[]);

/** @throws Error with one sentence that says what to set instead, for the first invalid option */
export function checkOptions(options: RoomKeysOptions): void {
  const fault = faultOf(options);
  if (fault) throw new Error(`RoomKeysModule: ${fault}`);
}

function faultOf(options: RoomKeysOptions): string | undefined {
  if (typeof options !== 'object' || (options as unknown) === null) {
    return 'forRoot requires options. Use RoomKeysModule.forRoot({ verifyAccessToken: … }).';
  }
  const unknown = Object.keys(options).find((name) => !KNOWN.has(name));
  if (unknown !== undefined) {
    return `there is no option '${unknown}'. Use one of ${[...KNOWN].join(', ')}.`;
  }
  if (typeof options.verifyAccessToken !== 'function') {
    return "'verifyAccessToken' must be a function. Set one that takes a token and returns { userId } or null.";
  }
  const { allowedAlgorithms, maxBodyBytes, rateLimit, sweepIntervalMs, observe } = options;
  if (allowedAlgorithms !== undefined && !isAlgorithms(allowedAlgorithms)) {
    return "'allowedAlgorithms' must be '*' or a list of names of 1 to 255 bytes. Set ['org.example.my-algorithm'].";
  }
  if (maxBodyBytes !== undefined && !isWhole(maxBodyBytes, 1)) {
    return "'maxBodyBytes' must be a whole number above 0. Set 16777216 for 16 MiB.";
  }
  const bodiesFault = faultOfBodies(options);
  if (bodiesFault) return bodiesFault;
  const { databaseConnections } = options;
  if (databaseConnections !== undefined && !isWhole(databaseConnections, 1)) {
    return "'databaseConnections' must be a whole number above 0. Set 7 for seven connections of the pool.";
  }
  const limitsFault = options.limits === undefined ? undefined : faultOfLimits(options.limits);
  if (limitsFault) return limitsFault;
  if (rateLimit !== undefined && rateLimit !== false && typeof rateLimit !== 'function') {
    return "'rateLimit' must be a function or false. Set rateLimits({ writes: { perSecond: 100 } }), or leave it out.";
  }
  if (sweepIntervalMs !== undefined && !isTime(sweepIntervalMs, 0)) {
    return "'sweepIntervalMs' must be a whole number of milliseconds from 0 to 2147483647. Set 60000 for a minute.";
  }
  for (const name of ['keepDeletedDays', 'historyDays'] as const) {
    const days = options[name];
    if (days !== undefined && !(isWhole(days, 0) && days <= MOST_DAYS)) {
      return `'${name}' must be a whole number of days from 0 to ${MOST_DAYS}. Set ${name === 'historyDays' ? '90 for three months' : '14 for two weeks'}.`;
    }
  }
  if (observe !== undefined && typeof observe !== 'function') {
    return "'observe' must be a function. Set one that takes an event, or leave it out.";
  }
  return undefined;
}

function faultOfBodies(options: RoomKeysOptions): string | undefined {
  const { maxBodyBytes = DEFAULT_MAX_BODY_BYTES, maxBodyBytesAtOnce, bodyIdleTimeoutMs } = options;
  if (maxBodyBytesAtOnce !== undefined && !isWhole(maxBodyBytesAtOnce, 2 * maxBodyBytes)) {
    return `'maxBodyBytesAtOnce' must be a whole number, and at least twice 'maxBodyBytes'. Set ${4 * maxBodyBytes} for four of the largest bodies.`;
  }
  if (bodyIdleTimeoutMs !== undefined && !isTime(bodyIdleTimeoutMs, 1)) {
    return "'bodyIdleTimeoutMs' must be a whole number of milliseconds from 1 to 2147483647. Set 30000 for half a minute.";
  }
  return undefined;
}

/** A hundred years. */
const MOST_DAYS = 36_500;

const SIZES = ['sessionDataBytes', 'authDataBytes'] as const;
const PER_USER = ['backupsPerUser', 'keysPerBackup', 'bytesPerUser'] as const;

function faultOfLimits(limits: RoomKeysLimits): string | undefined {
  if (typeof limits !== 'object' || (limits as unknown) === null) {
    return "'limits' must be an object. Set { keysPerBackup: 5000000, infoUri: 'https://example.org/limits' }, or leave it out.";
  }
  const known = [...SIZES, ...PER_USER, 'infoUri'];
  const unknown = Object.keys(limits).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    return `there is no limit '${unknown}'. Use one of ${known.join(', ')}.`;
  }
  for (const name of [...SIZES, ...PER_USER]) {
    if (limits[name] !== undefined && !isWhole(limits[name], 1)) {
      return `'limits.${name}' must be a whole number above 0. Set one, or leave it out for no limit.`;
    }
  }
  const { infoUri } = limits;
  if (infoUri !== undefined && !(typeof infoUri === 'string' && URL.canParse(infoUri))) {
    return "'limits.infoUri' must be a URI. Set one, for example 'https://example.org/limits'.";
  }
  const perUser = PER_USER.find((name) => limits[name] !== undefined);
  if (perUser !== undefined && infoUri === undefined) {
    return `'limits.${perUser}' needs 'limits.infoUri', which clients get when it is reached. Set it to a page for your users, for example 'https://example.org/limits'.`;
  }
  return undefined;
}

const isWhole = (value: unknown, least: number) =>
  Number.isSafeInteger(value) && (value as number) >= least;

/** Node treats a longer timer as one of 1 ms. */
const isTime = (value: unknown, least: number) =>
  isWhole(value, least) && (value as number) < 2 ** 31;

const isAlgorithms = (value: unknown) =>
  value === '*' ||
  (Array.isArray(value) &&
    value.every((name) => {
      const size = typeof name === 'string' ? Buffer.byteLength(name) : 0;
      return size >= 1 && size <= 255;
    }));
