import cliProgress from 'cli-progress';
import { grouped } from './output.js';

/** A progress bar on stderr. */
export interface Progress {
  /** @param total how much there is in all, as far as that is known */
  update(done: number, total: number): void;
  stop(): void;
}

/** Where nobody watches, a line now and then. */
const LINE_EVERY_MS = 10_000;

/**
 * Begins a bar with the rate and the time that is left, at its first update.
 *
 * @param what is counted, such as `keys`
 * @param shown whether there is to be one: not beside `--json`
 */
export function progress(what: string, shown: boolean): Progress {
  const begun = performance.now();
  let bar: cliProgress.SingleBar | undefined;
  return {
    update: (done, total) => {
      const all = Math.max(done, total);
      const perSecond = done / Math.max(0.001, (performance.now() - begun) / 1000);
      const state = {
        done: grouped(done),
        all: grouped(all),
        rate: grouped(Math.round(perSecond)),
        left: done === 0 ? '?' : duration((all - done) / perSecond),
      };
      if (!bar) {
        if (!shown || all === 0) return;
        bar = newBar(what);
        bar.start(all, done, state);
      }
      bar.setTotal(all);
      bar.update(done, state);
    },
    stop: () => bar?.stop(),
  };
}

function newBar(what: string): cliProgress.SingleBar {
  return new cliProgress.SingleBar({
    stream: process.stderr,
    format: `{bar} {percentage}% | {done} of {all} ${what} | {rate}/s | {left} left`,
    barCompleteChar: '#',
    barIncompleteChar: '-',
    clearOnComplete: true,
    hideCursor: true,
    noTTYOutput: true,
    notTTYSchedule: LINE_EVERY_MS,
    gracefulExit: true,
  });
}

/** `1 h 02 min`, `3 min 20 s`, `7 s`. */
function duration(seconds: number): string {
  const whole = Math.ceil(seconds);
  const two = (value: number) => String(value).padStart(2, '0');
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}
