import { Logger } from '@nestjs/common';
import type { RoomKeysObserver } from './room-keys.events.js';
import type { RoomKeysOptions } from './room-keys-options.interface.js';

const logger = new Logger('RoomKeysObserver');
const complainedOf = new WeakSet<object>();

/**
 * The host's `observe`, made harmless; undefined where the host has none, so that
 * `observe?.({ … })` then costs nothing.
 */
export function observerOf(
  options: Pick<RoomKeysOptions, 'observe'>,
): RoomKeysObserver | undefined {
  // providers may come before the module itself, which refuses options that are none
  const observe = (options as typeof options | null | undefined)?.observe;
  return observe && harmless('observe', observe, options);
}

/**
 * Calls a function of the host's whose failures are nobody's business: the first one is logged.
 *
 * @param self what it is a method of
 */
export function harmless<A extends unknown[]>(
  name: string,
  listener: (...args: A) => unknown,
  self?: object,
): (...args: A) => void {
  const failed = (error: unknown) => {
    if (complainedOf.has(listener)) return;
    complainedOf.add(listener);
    const why = error instanceof Error ? (error.stack ?? error.message) : 'what is no error';
    logger.error(`${name} threw, which harms no request; it is not logged again: ${why}`);
  };
  return (...args) => {
    try {
      const result = listener.apply(self, args);
      // an async function: nobody else would hear of its failure, but for the process, which ends
      if (result instanceof Promise) result.catch(failed);
    } catch (error) {
      failed(error);
    }
  };
}
