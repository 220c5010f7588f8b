/** Timers longer than this are request timeouts, which no test waits for. */
const WATCH_MS = 10_000;

/**
 * Keeps two habits of the SDK from whoever uses it, for as long as the process (for Jest: the test
 * file) lasts. It tells the console all that it and its Rust part do, so the console is silent from
 * here on. And it never clears the timers that watch over its requests, which would hold the process
 * for minutes after the last device is gone.
 */
export function teachManners(): void {
  for (const level of ['debug', 'error', 'info', 'log', 'trace', 'warn'] as const)
    console[level] = () => undefined;

  globalThis.setTimeout = Object.assign(
    (...parameters: Parameters<typeof ownSetTimeout>) => {
      const timer = ownSetTimeout(...parameters);
      return (parameters[1] ?? 0) > WATCH_MS ? timer.unref() : timer;
    },
    { __promisify__: ownSetTimeout.__promisify__ },
  );
}

const ownSetTimeout = globalThis.setTimeout;
