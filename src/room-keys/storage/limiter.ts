import { BusyError } from './unavailable.errors.js';

interface Waiting {
  who: string;
  enter: () => void;
}

/**
 * Lets so many in at once, and of one user only a half of them; the others wait, for a while. So one
 * user alone, with however many requests, keeps nobody else out.
 */
export class Limiter {
  private count = 0;
  private readonly share: number;
  private readonly insideOf = new Map<string, number>();
  private readonly waiting: Waiting[] = [];

  /**
   * @param most how many are let in at once
   * @param patienceMs how long one waits, in milliseconds, before it is told that there is no place
   */
  constructor(
    private readonly most: number,
    private readonly patienceMs: number,
  ) {
    this.share = Math.max(1, Math.floor(most / 2));
  }

  /** How many are in at the moment. */
  get inside(): number {
    return this.count;
  }

  /** How many wait for a place. */
  get queued(): number {
    return this.waiting.length;
  }

  /**
   * Waits for a place.
   *
   * @param who it is for
   * @returns gives the place back; safe to call again
   * @throws BusyError when none became free in time
   */
  async enter(who: string): Promise<() => void> {
    if (this.hasPlaceFor(who)) this.admit(who, 1);
    else await this.turn(who);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.admit(who, -1);
      this.callNext();
    };
  }

  private hasPlaceFor(who: string): boolean {
    return this.count < this.most && (this.insideOf.get(who) ?? 0) < this.share;
  }

  private admit(who: string, places: 1 | -1): void {
    this.count += places;
    const inside = (this.insideOf.get(who) ?? 0) + places;
    if (inside > 0) this.insideOf.set(who, inside);
    else this.insideOf.delete(who);
  }

  /** A place is handed on at once, so that nobody who comes just now gets in between. */
  private callNext(): void {
    const next = this.waiting.findIndex(({ who }) => this.hasPlaceFor(who));
    this.waiting.splice(next, next === -1 ? 0 : 1).forEach(({ enter }) => {
      enter();
    });
  }

  private turn(who: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        who,
        enter: () => {
          clearTimeout(timer);
          this.admit(who, 1);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        this.waiting.splice(this.waiting.indexOf(waiting), 1);
        reject(new BusyError('Too many restores are under way.'));
      }, this.patienceMs);
      this.waiting.push(waiting);
    });
  }
}
