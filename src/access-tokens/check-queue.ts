import { limitExceeded, verifierFailed } from '../room-keys/room-keys.errors.js';

/** Limits on running and waiting checks. */
export interface CheckQueueLimits {
  /** Concurrent checks; one address has at most half of them. */
  atOnce: number;
  /** Waiting checks, of all addresses together. */
  maxWaiting: number;
  /** Waiting checks of one address. */
  maxWaitingPerAddress: number;
  /** Milliseconds that a check waits. */
  maxWaitMs: number;
}

/** Why a check was not made: too many of its client address, or too many in the process. */
export type CheckOverload = 'address' | 'process';

/** For metrics. */
export interface CheckQueueListeners {
  /** Called with the number of running and waiting checks, whenever they change. */
  onChange?: ((underWay: number, waiting: number) => void) | undefined;
  /** Called for each check that was not made. */
  onRefused?: ((overload: CheckOverload) => void) | undefined;
}

/** A check, from its request until it ends. */
export interface Check {
  /** The client's address, undefined if not known. A later request for the same check can change it. */
  address: string | undefined;
  /** Whether the token was accepted a while ago. */
  isPreferred: boolean;
}

/** How to end the wait of a check. */
interface Waiting {
  start: () => void;
  refuse: (overload: CheckOverload) => void;
}

/** Milliseconds after which a refused client should try again. */
const RETRY_AFTER_MS = 1000;

/** One in this many started checks is taken from the others first, so that preferred ones cannot starve them. */
const STARTS_PER_ROUND = 4;

/**
 * Limits the number of concurrent token checks; further ones wait.
 *
 * Preferred checks come first, three out of four times. Within each of the two groups the client
 * addresses take turns, and of one address the newest check starts first. A flood of made-up tokens
 * therefore delays a good one only a little, even from the same address: the oldest checks wait until
 * they are refused, and their clients have probably given up.
 *
 * A refused check rejects with 429 if its own address uses up its share, otherwise with 503. Neither
 * makes a client log its user out.
 */
export class CheckQueue {
  private underWay = 0;
  private starts = 0;
  private readonly underWayOf = new Map<string, number>();
  private readonly maxUnderWayOfAddress: number;
  private readonly waiting = new Map<Check, Waiting>();
  private readonly preferred = new WaitingChecks();
  private readonly others = new WaitingChecks();

  constructor(
    private readonly limits: CheckQueueLimits,
    private readonly listeners: CheckQueueListeners = {},
  ) {
    this.maxUnderWayOfAddress = Math.max(1, Math.floor(limits.atOnce / 2));
  }

  /**
   * Runs a check when it is its turn; in the same tick if there is a free slot.
   *
   * @throws MatrixError 429 or 503, if it was refused
   */
  async run<T>(check: Check, work: () => Promise<T>): Promise<T> {
    if (this.mayStart(check.address)) this.begin(check);
    else await this.wait(check);
    // a later request must not change the count
    const { address } = check;
    try {
      return await work();
    } finally {
      this.end(address);
    }
  }

  /** Another request needs the same check: if it still waits, it moves to the front, under that client's address. */
  renew(check: Check, address: string | undefined): void {
    const waiting = this.waiting.get(check);
    if (!waiting) return;
    this.groupOf(check).delete(check);
    check.address = address;
    if (this.mayStart(address)) waiting.start();
    else this.enqueue(check);
  }

  private mayStart(address: string | undefined): boolean {
    return this.underWay < this.limits.atOnce && !this.isFull(address);
  }

  private isFull(address: string | undefined): boolean {
    return (
      address !== undefined && (this.underWayOf.get(address) ?? 0) >= this.maxUnderWayOfAddress
    );
  }

  private begin({ address }: Check): void {
    this.underWay++;
    if (address !== undefined)
      this.underWayOf.set(address, (this.underWayOf.get(address) ?? 0) + 1);
    this.reportChange();
  }

  private end(address: string | undefined): void {
    this.underWay--;
    if (address !== undefined) {
      const left = (this.underWayOf.get(address) ?? 0) - 1;
      if (left > 0) this.underWayOf.set(address, left);
      else this.underWayOf.delete(address);
    }
    const next = this.takeNext();
    if (next) this.waiting.get(next)?.start();
    else this.reportChange();
  }

  private takeNext(): Check | undefined {
    const mayStart = (address: string | undefined) => this.mayStart(address);
    const isTurnOfOthers = ++this.starts % STARTS_PER_ROUND === 0;
    const [first, second] = isTurnOfOthers
      ? [this.others, this.preferred]
      : [this.preferred, this.others];
    return first.takeNext(mayStart) ?? second.takeNext(mayStart);
  }

  private wait(check: Check): Promise<void> {
    return new Promise((resolve, reject) => {
      const refuse = (overload: CheckOverload) => {
        this.leave(check, timer);
        this.reportChange();
        this.listeners.onRefused?.(overload);
        reject(overload === 'address' ? limitExceeded(RETRY_AFTER_MS) : verifierFailed());
      };
      const start = () => {
        this.leave(check, timer);
        this.begin(check);
        resolve();
      };
      const timer = setTimeout(() => {
        refuse(this.isFull(check.address) ? 'address' : 'process');
      }, this.limits.maxWaitMs);
      this.waiting.set(check, { start, refuse });
      this.enqueue(check);
    });
  }

  private leave(check: Check, timer: NodeJS.Timeout): void {
    clearTimeout(timer);
    this.waiting.delete(check);
    this.groupOf(check).delete(check);
  }

  /** Adds a check as the newest; refuses the oldest if that is one too many. */
  private enqueue(check: Check): void {
    const { preferred, others, limits } = this;
    const { address } = check;
    this.groupOf(check).add(check);
    if (
      address !== undefined &&
      preferred.countOf(address) + others.countOf(address) > limits.maxWaitingPerAddress
    )
      this.refuse(others.oldestOf(address) ?? preferred.oldestOf(address), 'address');
    else if (this.waiting.size > limits.maxWaiting)
      this.refuse(others.oldest ?? preferred.oldest, 'process');
    else this.reportChange();
  }

  private refuse(check: Check | undefined, overload: CheckOverload): void {
    if (check) this.waiting.get(check)?.refuse(overload);
  }

  private groupOf({ isPreferred }: Check): WaitingChecks {
    return isPreferred ? this.preferred : this.others;
  }

  private reportChange(): void {
    this.listeners.onChange?.(this.underWay, this.waiting.size);
  }
}

/**
 * Waiting checks: the addresses take turns, and of one address the newest check comes first. Checks
 * without a known address are treated as if they shared one.
 */
class WaitingChecks {
  /** The address whose turn is next comes first; within an address, the oldest check. */
  private readonly byAddress = new Map<string | undefined, Check[]>();
  private readonly byAge = new Set<Check>();

  /** Adds a check as the newest of its address. */
  add(check: Check): void {
    this.byAge.add(check);
    const checks = this.byAddress.get(check.address);
    if (checks) checks.push(check);
    else this.byAddress.set(check.address, [check]);
  }

  /** Removes a check, if present. */
  delete(check: Check): void {
    if (!this.byAge.delete(check)) return;
    const checks = this.byAddress.get(check.address) ?? [];
    if (checks.length > 1) checks.splice(checks.indexOf(check), 1);
    else this.byAddress.delete(check.address);
  }

  /** Removes and returns the newest check of the next address that may start one. */
  takeNext(mayStart: (address: string | undefined) => boolean): Check | undefined {
    for (const [address, checks] of this.byAddress) {
      const newest = checks.at(-1);
      if (newest === undefined || !mayStart(address)) continue;
      this.delete(newest);
      // to the end of the queue of addresses
      if (this.byAddress.delete(address)) this.byAddress.set(address, checks);
      return newest;
    }
    return undefined;
  }

  /** Number of waiting checks of an address. */
  countOf(address: string): number {
    return this.byAddress.get(address)?.length ?? 0;
  }

  /** The check of an address that has waited longest. */
  oldestOf(address: string): Check | undefined {
    return this.byAddress.get(address)?.[0];
  }

  /** The check that has waited longest. */
  get oldest(): Check | undefined {
    const [oldest] = this.byAge;
    return oldest;
  }
}
