import cliProgress from 'cli-progress';
import { EXIT, Failure, grouped } from './output.js';

/** A progress bar on stderr. */
export interface Progress {
  /** @param total how much there is in all, as far as that is known */
  update(done: number, total: number): void;
}

/** What a bar is about, and what breaks its work off. */
export interface ProgressOptions {
  /** What is counted, such as `keys`. */
  what: string;
  /** Whether to show it: not with `--json`. */
  shown: boolean;
  /** What a signal ends the command with; one sentence. */
  brokenOff: string;
}

/** Without a terminal, a line now and then. */
const LINE_EVERY_MS = 10_000;

/**
 * Shows a bar with the rate and the time that is left, from its first update to the end of `work`.
 *
 * SIGINT and SIGTERM end both: the terminal is as it was at once, and `work` is to end by the reason of the
 * signal that it is given, when it has tidied up. A second one ends the process as it stands.
 */
export async function withProgress<T>(
  { what, shown, brokenOff }: ProgressOptions,
  work: (bar: Progress, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const bar = progress(what, shown);
  const stopping = new AbortController();
  const stop = (name: NodeJS.Signals) => {
    bar.stop();
    stopping.abort(new Failure(brokenOff, name === 'SIGINT' ? EXIT.interrupted : EXIT.terminated));
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  try {
    return await work(bar, stopping.signal);
  } finally {
    bar.stop();
    process.off('SIGINT', stop).off('SIGTERM', stop);
  }
}

function progress(what: string, shown: boolean): Progress & { stop: () => void } {
  const begun = performance.now();
  let bar: cliProgress.SingleBar | undefined;
  let stopped = false;
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
        if (!shown || stopped || all === 0) return;
        bar = newBar(what);
        bar.start(all, done, state);
      }
      bar.setTotal(all);
      bar.update(done, state);
    },
    stop: () => {
      stopped = true;
      bar?.stop();
    },
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
    // it would take the signals for itself, and end nothing but the bar
    gracefulExit: false,
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
