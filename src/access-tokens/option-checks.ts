/** @throws Error with one sentence that says what to write instead */
export function checkWhole(name: string, value: number, least: number, most: number): void {
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw new Error(`'${name}' must be a whole number from ${least} to ${most}.`);
}

/** @throws Error with one sentence that says what to write instead */
export function checkText(name: string, value: string, example: string): void {
  if (typeof value !== 'string' || value === '')
    throw new Error(`'${name}' must be a text: write one such as '${example}'.`);
}

/**
 * The URL of a service, as it is: with a slash at its end it can be another than without.
 *
 * @throws Error with one sentence that says what to write instead, and does not quote the URL
 */
export function serviceUrl(name: string, value: string, example: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol))
    throw new Error(`'${name}' must be a URL of http or https: write one such as '${example}'.`);
  // fetch refuses a user and a password in a URL; a query would stand in the middle of ours
  if (url.username || url.password || url.search || url.hash) {
    throw new Error(
      `'${name}' must not hold a user, a password, a query or a fragment: write one such as '${example}'.`,
    );
  }
  return url.href;
}

/** Node takes a longer timer for one of 1 ms. */
export const MAX_TIMER_MS = 2 ** 31 - 1;
