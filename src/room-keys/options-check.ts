import type { RoomKeysOptions } from './room-keys-options.interface.js';

const KNOWN = new Set<string>([
  'verifyAccessToken',
  'allowedAlgorithms',
  'maxBodyBytes',
  'sweepIntervalMs',
] satisfies (keyof RoomKeysOptions)[]);

/** @throws Error with one sentence that says what to write instead, for the first option that is wrong */
export function checkOptions(options: RoomKeysOptions): void {
  const fault = faultOf(options);
  if (fault) throw new Error(`RoomKeysModule: ${fault}`);
}

function faultOf(options: RoomKeysOptions): string | undefined {
  if (typeof options !== 'object' || (options as unknown) === null) {
    return 'forRoot needs options: write RoomKeysModule.forRoot({ verifyAccessToken: … }).';
  }
  const unknown = Object.keys(options).find((name) => !KNOWN.has(name));
  if (unknown !== undefined) {
    return `there is no option '${unknown}': write one of ${[...KNOWN].join(', ')}.`;
  }
  if (typeof options.verifyAccessToken !== 'function') {
    return "'verifyAccessToken' must be a function: write one that takes a token and returns { userId } or null.";
  }
  const { allowedAlgorithms, maxBodyBytes, sweepIntervalMs } = options;
  if (allowedAlgorithms !== undefined && !isAlgorithms(allowedAlgorithms)) {
    return "'allowedAlgorithms' must be '*' or a list of names of 1 to 255 bytes: write ['org.example.my-algorithm'].";
  }
  if (maxBodyBytes !== undefined && !isWhole(maxBodyBytes, 1)) {
    return "'maxBodyBytes' must be a whole number above 0: write 16777216 for 16 MiB.";
  }
  // Node takes a longer timer for one of 1 ms
  if (
    sweepIntervalMs !== undefined &&
    !(isWhole(sweepIntervalMs, 0) && sweepIntervalMs < 2 ** 31)
  ) {
    return "'sweepIntervalMs' must be a whole number of milliseconds from 0 to 2147483647: write 60000 for a minute.";
  }
  return undefined;
}

const isWhole = (value: unknown, least: number) =>
  Number.isSafeInteger(value) && (value as number) >= least;

const isAlgorithms = (value: unknown) =>
  value === '*' ||
  (Array.isArray(value) &&
    value.every((name) => {
      const size = typeof name === 'string' ? Buffer.byteLength(name) : 0;
      return size >= 1 && size <= 255;
    }));
