import { BusyError } from './transactions.js';

/** Lets so many in at once; the others wait, for a while. */
export class Limiter {
  private inside = 0;
  private readonly waiting: (() => void)[] = [];

  /**
   * @param most how many are let in at once
   * @param patienceMs how long one waits, in milliseconds, before it is told that there is no place
   */
  constructor(
    private readonly most: number,
    private readonly patienceMs: number,
  ) {}

  /**
   * Waits for a place.
   *
   * @returns gives the place back; safe to call again
   * @throws BusyError when none became free in time
   */
  async enter(): Promise<() => void> {
    if (this.inside < this.most) this.inside += 1;
    else await this.turn();
    let left = false;
    return () => {
      if (left) return;
      left = true;
      // a place is handed on, so that nobody who comes just now gets in between
      const next = this.waiting.shift();
      if (next) next();
      else this.inside -= 1;
    };
  }

  private turn(): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.waiting.splice(this.waiting.indexOf(enter), 1);
        reject(new BusyError('Too many restores are under way.'));
      }, this.patienceMs);
      this.waiting.push(enter);
    });
  }
}
