import cluster, { type Worker } from 'node:cluster';
import { fileURLToPath } from 'node:url';
import type { Variables } from '../environment.js';
import { STOP_TIMEOUT_MS } from '../listening.js';
import type { FromWorker } from './messages.js';
import type { PrimaryLog } from './primary-log.js';

/** What a worker runs. */
const PROGRAM = fileURLToPath(new URL('../main.js', import.meta.url));

/** How long the place of a worker that ended stays empty; each time in a row twice as long. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 30_000;
/** A worker that served that long did not end of what the next one will meet at once. */
const SETTLED_MS = 60_000;
/** Workers that are started within so long of each other count as one start. */
const ONE_START_MS = 60_000;
/** How many workers in a row may exit in one slot before they serve, if no other worker serves either. */
const MOST_FAILED_STARTS = 5;
/** How long a worker may take to end when its last request has had its time. */
const GRACE_MS = 2_000;

/** How long after its end the last words of a worker may arrive. */
const LAST_WORDS_MS = 1_000;

/** What becomes of the workers. */
export interface PoolListener {
  /** All of them serve, for the first time. */
  started(url: string): void;
  /** They cannot, for a reason that is reported to the operator. */
  failed(reason: string): void;
  heard(worker: Worker, message: FromWorker): void;
  ended(worker: Worker): void;
}

/** How a worker ended: its exit code, or the signal. */
type Exit = number | NodeJS.Signals | 'no process';

/** The place of one worker after the other. */
interface Slot {
  worker: Worker | undefined;
  /** Why the worker could not start, if it said so. */
  reason: string | undefined;
  /** Since when the worker serves, by `performance.now()`. */
  servingSince: number | undefined;
  /** How many in a row did not live long. */
  shortLives: number;
  /** How many in a row ended before they served. */
  failedStarts: number;
  pause: NodeJS.Timeout | undefined;
}

/**
 * The worker processes: as many as there should be. Another one takes the place of each that ends.
 *
 * The first one starts alone. It runs the migrations, and if settings or database are wrong, that is
 * said once.
 */
export class WorkerPool {
  private readonly slots: Slot[];
  private hasServed = false;
  private hasStarted = false;
  private stopped: Promise<boolean> | undefined;
  /** Called when none is left; there as soon as they are to end. */
  private onAllEnded: (() => void) | undefined;
  private peaceful = true;
  private forkedAt = Date.now();

  /**
   * @param count how many
   * @param variables their environment
   */
  constructor(
    count: number,
    private readonly variables: Variables,
    private readonly log: PrimaryLog,
    private readonly listener: PoolListener,
  ) {
    this.slots = Array.from({ length: count }, () => ({
      worker: undefined,
      reason: undefined,
      servingSince: undefined,
      shortLives: 0,
      failedStarts: 0,
      pause: undefined,
    }));
  }

  /** Those that serve. */
  get serving(): Worker[] {
    return this.slots.flatMap(({ worker, servingSince }) =>
      worker && servingSince !== undefined ? [worker] : [],
    );
  }

  /** When the youngest of them was started, in milliseconds since 1970; of those that start together, when the first was. */
  get lastStart(): number {
    return this.forkedAt;
  }

  start(): void {
    // Each takes connections from the socket that all of them have: one that is busy takes none, and the
    // primary is not in the way. When it hands them out itself (SCHED_RR), a worker that dies with one in
    // hand leaves its client waiting, and Node 20 does not report that it is gone.
    cluster.schedulingPolicy = cluster.SCHED_NONE;
    cluster.setupPrimary({ exec: PROGRAM, args: [] });
    const [first] = this.slots;
    if (first) this.fill(first);
  }

  /**
   * Has them finish what they do, and kills those that take longer than that may.
   *
   * @returns whether all of them ended by themselves
   */
  stop(): Promise<boolean> {
    return (this.stopped ??= this.end());
  }

  /** Ends them at once. */
  kill(): void {
    for (const { worker } of this.slots) worker?.process.kill('SIGKILL');
  }

  private async end(): Promise<boolean> {
    const allEnded = new Promise<void>((resolve) => {
      this.onAllEnded = resolve;
    });
    for (const { pause, worker } of this.slots) {
      clearTimeout(pause);
      worker?.process.kill('SIGTERM');
    }
    const deadline = setTimeout(() => {
      this.kill();
    }, STOP_TIMEOUT_MS + GRACE_MS);
    if (this.slots.some(({ worker }) => worker)) await allEnded;
    clearTimeout(deadline);
    return this.peaceful;
  }

  private fill(slot: Slot): void {
    const worker = cluster.fork({
      ...this.variables,
      ...(this.hasServed && { RUN_MIGRATIONS: 'false' }),
    });
    if (Date.now() - this.forkedAt > ONE_START_MS) this.forkedAt = Date.now();
    Object.assign(slot, { worker, reason: undefined, servingSince: undefined, pause: undefined });
    worker.on('message', (message: FromWorker) => {
      this.hear(slot, worker, message);
    });
    worker.on('error', () => {
      // if the process could not be spawned, there is no exit event; otherwise a message was sent to one that has just exited
      if (worker.process.pid === undefined) this.leave(slot, worker, 'no process');
    });
    worker.once('exit', (code: number, signal: NodeJS.Signals | null) => {
      const leave = () => {
        clearTimeout(timeout);
        worker.off('disconnect', leave);
        this.leave(slot, worker, signal ?? code);
      };
      // its last words may arrive after its exit code
      const timeout = setTimeout(leave, LAST_WORDS_MS);
      if (worker.isConnected()) worker.once('disconnect', leave);
      else setImmediate(leave);
    });
  }

  private hear(slot: Slot, worker: Worker, message: FromWorker): void {
    if (message.type === 'failed') slot.reason = message.reason;
    else if (message.type === 'serving') this.serve(slot, worker, message.url);
    else this.listener.heard(worker, message);
  }

  private serve(slot: Slot, { process: { pid } }: Worker, url: string): void {
    slot.servingSince = performance.now();
    slot.failedStarts = 0;
    if (this.onAllEnded) return;
    if (!this.hasServed) {
      this.hasServed = true;
      for (const other of this.slots) if (other !== slot) this.fill(other);
    }
    if (this.hasStarted) {
      this.log.log('A new worker serves', { worker: pid, url }, 'Workers');
    } else if (this.serving.length === this.slots.length) {
      this.hasStarted = true;
      this.listener.started(url);
    }
  }

  private leave(slot: Slot, worker: Worker, how: Exit): void {
    const { servingSince } = slot;
    slot.worker = undefined;
    slot.servingSince = undefined;
    this.listener.ended(worker);
    if (this.onAllEnded) {
      // a signal may come before it listens for them
      this.peaceful &&= how === 0 || how === 'SIGTERM' || how === 'SIGINT';
      if (this.slots.every((other) => !other.worker)) this.onAllEnded();
      return;
    }
    if (servingSince === undefined) slot.failedStarts++;
    const isHopeless = slot.failedStarts >= MOST_FAILED_STARTS && this.serving.length === 0;
    const isRefusal = slot.reason !== undefined && !this.hasStarted;
    if (isRefusal || isHopeless) this.listener.failed(slot.reason ?? hopeless(how));
    else this.replace(slot, worker, how, servingSince);
  }

  private replace(slot: Slot, worker: Worker, how: Exit, servingSince: number | undefined): void {
    const { reason } = slot;
    const lifeMs = servingSince === undefined ? 0 : performance.now() - servingSince;
    if (lifeMs >= SETTLED_MS) slot.shortLives = 0;
    const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** slot.shortLives++, LONGEST_PAUSE_MS);
    this.log.warn(
      reason === undefined
        ? `A worker ended (${nameOf(how)}), another one takes its place`
        : `A worker cannot start, another one tries it again: ${reason}`,
      'Workers',
      { worker: worker.process.pid, pauseMs },
    );
    slot.pause = setTimeout(() => {
      this.fill(slot);
    }, pauseMs);
  }
}

function hopeless(how: Exit): string {
  return `${MOST_FAILED_STARTS} workers in a row ended before they served, the last one by ${nameOf(how)}. Check the log above for the reason, or set a smaller WORKERS if memory is short.`;
}

function nameOf(how: Exit): string {
  return typeof how === 'number' ? `exit code ${how}` : how;
}
