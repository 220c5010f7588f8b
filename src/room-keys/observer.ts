import { Logger } from '@nestjs/common';
import type { RoomKeysObserver } from './room-keys.events.js';
import type { RoomKeysOptions } from './room-keys-options.interface.js';

const logger = new Logger('RoomKeysObserver');
const complainedOf = new WeakSet<object>();

/**
 * The host's `observe`, wrapped so that its errors do no harm; undefined if not set, so that
 * `observe?.({ … })` costs nothing then.
 */
export function observerOf(
  options: Pick<RoomKeysOptions, 'observe'>,
): RoomKeysObserver | undefined {
  // providers may be created before the module itself, which validates the options
  const observe = (options as typeof options | null | undefined)?.observe;
  return observe && harmless('observe', observe, options);
}

/**
 * Wraps a function of the host so that its errors do not propagate: the first one is logged.
 *
 * @param self its `this`
 */
export function harmless<A extends unknown[]>(
  name: string,
  listener: (...args: A) => unknown,
  self?: object,
): (...args: A) => void {
  const failed = (error: unknown) => {
    if (complainedOf.has(listener)) return;
    complainedOf.add(listener);
    const why = error instanceof Error ? (error.stack ?? error.message) : 'not an Error';
    logger.error(`${name} threw; requests are not affected. It is not logged again: ${why}`);
  };
  return (...args) => {
    try {
      const result = listener.apply(self, args);
      // an async function: an unhandled rejection would end the process
      if (result instanceof Promise) result.catch(failed);
    } catch (error) {
      failed(error);
    }
  };
}
