import { once } from 'node:events';
import type { MatrixClient } from 'matrix-js-sdk';

/** How long a client may take for anything that is waited for. */
const PATIENCE_MS = 240_000;

/**
 * Waits until something is so: asks at once, and again after each of these events of the client.
 *
 * @param what to be said where it is not so in that time
 */
export async function until(
  client: MatrixClient,
  event: string,
  isSo: () => boolean | Promise<boolean>,
  what: () => string,
): Promise<void> {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  for (;;) {
    const answered = new AbortController();
    const signal = AbortSignal.any([patience, answered.signal]);
    // listened to before it is asked: what happens meanwhile counts
    const happened = once(client, event, { signal }).catch(() => undefined);
    if (await isSo()) {
      answered.abort();
      return;
    }
    await happened;
    if (patience.aborted) throw new Error(`Not in ${PATIENCE_MS} ms: ${what()}`);
  }
}
