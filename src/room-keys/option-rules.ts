/** Checks options that a host passes as a plain object, each by one rule. */

/** Whether a value is valid; what it must be otherwise; and what to set, at the end of the sentence. */
export type OptionRule = readonly [isValid: (value: unknown) => boolean, be: string, set: string];

/**
 * @param prefix of the names of nested options
 * @throws Error for the first unknown or invalid option; one that is undefined counts as left out
 */
export function checkOptionRules(
  where: string,
  options: object,
  rules: Readonly<Record<string, OptionRule>>,
  prefix = '',
): void {
  const names = Object.keys(rules);
  const unknown = Object.keys(options).find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new Error(
      `${where}: there is no option '${prefix}${unknown}'. Use one of ${names.join(', ')}.`,
    );
  }
  for (const [name, [isValid, be, set]] of Object.entries(rules)) {
    const value = (options as Record<string, unknown>)[name];
    if (value === undefined || isValid(value)) continue;
    throw new Error(`${where}: '${prefix}${name}' must be ${be}. Set ${set}.`);
  }
}

export const isFunction = (value: unknown): boolean => typeof value === 'function';

export const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null;

export const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';

export const isWhole =
  (least: number, most = Number.MAX_SAFE_INTEGER) =>
  (value: unknown): boolean =>
    Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;

/** Node treats a longer timer as one of 1 ms. */
export const MAX_TIMER_MS = 2 ** 31 - 1;
