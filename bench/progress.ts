import { SingleBar } from 'cli-progress';

/** A bar per phase on stderr; without a terminal, a line now and then. */
export class Progress {
  /** @returns tells that one more piece of work is done; the last one ends the bar */
  phase(title: string, total: number): () => void {
    const bar = new SingleBar({
      format: `${title.padEnd(44)} {bar} {percentage}%  {duration_formatted}`,
      barsize: 24,
      hideCursor: true,
      noTTYOutput: true,
      notTTYSchedule: 10_000,
    });
    bar.start(total, 0);
    let done = 0;
    return () => {
      bar.update(++done);
      if (done === total) bar.stop();
    };
  }
}
