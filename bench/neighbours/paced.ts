import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Sends requests at a fixed pace, whether or not earlier ones have been answered: requests that have to
 * wait are then measured as often as others. Resolves when all are answered.
 *
 * @param isOver called with the number of requests sent so far
 */
export async function paced(
  everyMs: number,
  send: () => Promise<void>,
  isOver: (sent: number) => boolean,
): Promise<void> {
  const open: Promise<void>[] = [];
  const begun = performance.now();
  for (let sent = 0; !isOver(sent);) {
    open.push(send());
    sent++;
    await sleep(Math.max(0, begun + sent * everyMs - performance.now()));
  }
  await Promise.all(open);
}
