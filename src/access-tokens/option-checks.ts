/** @throws Error with one sentence that says what to set instead */
export function checkWhole(name: string, value: number, least: number, most: number): void {
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw new Error(`'${name}' must be a whole number from ${least} to ${most}.`);
}

/** @throws Error with one sentence that says what to set instead */
export function checkText(name: string, value: string, example: string): void {
  if (typeof value !== 'string' || value === '')
    throw new Error(`'${name}' must be a string. Set one, for example '${example}'.`);
}

/**
 * Validates the URL of a service; a trailing slash is kept, since it can be significant.
 *
 * @throws Error with one sentence that says what to set instead, without quoting the URL
 */
export function serviceUrl(name: string, value: string, example: string): string {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol))
    throw new Error(`'${name}' must be an HTTP or HTTPS URL. Set one, for example '${example}'.`);
  // fetch rejects URLs with a user and a password; a query would end up in the middle of our URL
  if (url.username || url.password || url.search || url.hash) {
    throw new Error(
      `'${name}' must not contain a user, a password, a query or a fragment. Set one without these, for example '${example}'.`,
    );
  }
  return url.href;
}
