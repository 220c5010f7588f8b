/** Proves that a host's observer receives its events, and that its failures do not affect the module. */
import { Logger } from '@nestjs/common';
import { harmless, observerOf } from './observer.js';
import type { RoomKeysEvent } from './room-keys.events.js';

const EVENT: RoomKeysEvent = { type: 'keys', added: 1, replaced: 0, kept: 2 };

let logged: string[];

beforeEach(() => {
  logged = [];
  Logger.overrideLogger({
    log: () => undefined,
    warn: () => undefined,
    error: (...parts: unknown[]) => logged.push(parts.map(String).join(' ')),
  });
});
afterAll(() => {
  Logger.overrideLogger(true);
});

describe('an observer', () => {
  it('need not be there', () => {
    expect(observerOf({})).toBeUndefined();
    expect(observerOf({ observe: undefined })).toBeUndefined();
  });

  it('is called as a method of the options, on which a host may rely', () => {
    const host = {
      heard: [] as RoomKeysEvent[],
      observe(event: RoomKeysEvent) {
        this.heard.push(event);
      },
    };
    observerOf(host)?.(EVENT);
    expect(host.heard).toEqual([EVENT]);
  });

  it('that throws is logged once, and called again the next time', () => {
    let calls = 0;
    const options = {
      observe: () => {
        calls += 1;
        throw new Error('of the host');
      },
    };
    // each part of the module has its own
    for (const observe of [observerOf(options), observerOf(options)]) {
      observe?.(EVENT);
      observe?.(EVENT);
    }
    expect(calls).toBe(4);
    expect(logged).toHaveLength(1);
    expect(logged[0]).toContain('of the host');
  });

  it('that is asynchronous and fails does not end the process', async () => {
    let calls = 0;
    const failing = async () => {
      calls += 1;
      await Promise.resolve();
      throw new Error('later');
    };
    const observe = harmless('observe', failing);
    observe();
    observe();
    await new Promise(setImmediate);
    expect(calls).toBe(2);
    expect(logged).toHaveLength(1);
    expect(logged[0]).toContain('later');
  });

  it.each([undefined, null, 'text', { code: 'secret' }])('may throw %p', (thrown) => {
    const call = harmless('onLookup', () => {
      throw thrown as unknown as Error;
    });
    expect(call).not.toThrow();
    expect(logged).toHaveLength(1);
    expect(logged[0]).toContain('onLookup');
    expect(logged[0]).not.toContain('secret');
  });
});
