import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

/** What proxies make: hexadecimal digits, UUIDs, base64, and such things with a name before them. */
const FORM = /^[\w.:=+/@-]{1,128}$/;

const current = new AsyncLocalStorage<string>();

/** The id that the proxy gave to a request, if it is one that a log can hold; else one of our own. */
export function requestIdOf({ headers }: IncomingMessage): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && FORM.test(given) ? given : randomUUID();
}

/** Does the work of a request: {@link currentRequestId} is its id in all of it. */
export function withRequestId<T>(id: string, work: () => T): T {
  return current.run(id, work);
}

/** The id of the request that this is done for; undefined where it is done for none. */
export function currentRequestId(): string | undefined {
  return current.getStore();
}
