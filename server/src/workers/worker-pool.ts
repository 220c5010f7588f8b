import cluster, { type Worker } from 'node:cluster';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Variables } from '../environment.js';
import { STOP_TIMEOUT_MS } from '../listening.js';
import type { ServerLogger } from '../logs/server-logger.js';

/** What a worker runs. */
const PROGRAM = fileURLToPath(new URL('../main.js', import.meta.url));

/** How long the place of a worker that ended stays empty; each time in a row twice as long. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 30_000;
/** A worker that served that long did not end of what the next one will meet at once. */
const SETTLED_MS = 60_000;
/** Workers that are started within so long of each other count as one start. */
const ONE_START_MS = 60_000;
/** How many workers in a row may exit in one place before they serve, if no other worker serves either. */
const MOST_FAILED_STARTS = 5;
/** How long a worker may take to end when its last request has had its time. */
const GRACE_MS = 2_000;
/** How long after its end the last words of a worker may arrive. */
const LAST_WORDS_MS = 1_000;

/** The result of a worker's start: the URL at which it listens, or the reason that is reported to the operator. */
export type StartMessage = { type: 'serving'; url: string } | { type: 'failed'; reason: string };

/** How a worker ended: its exit code, or the signal. */
type Exit = number | NodeJS.Signals | 'no process';

/**
 * The worker processes: a fixed number. Each that ends is replaced.
 *
 * The first one starts alone. It runs the migrations, and if settings or database are wrong, that is
 * said once.
 */
export class WorkerPool {
  /** When the youngest of them was started, in milliseconds since 1970; of those that start together, when the first was. */
  lastStart = Date.now();
  /** Those that serve. */
  readonly serving = new Set<Worker>();
  private readonly living = new Set<Worker>();
  /** The places, each until it stays empty. */
  private readonly places: Promise<void>[] = [];
  private readonly stopping = new AbortController();
  private stopped: Promise<boolean> | undefined;
  private hasStarted = false;
  private isPeaceful = true;

  /**
   * @param count how many
   * @param variables their environment
   * @param onStarted called when all of them serve, for the first time
   * @param onFailed called when they cannot, for a reason that is reported to the operator
   */
  constructor(
    private readonly count: number,
    private readonly variables: Variables,
    private readonly log: ServerLogger,
    private readonly onStarted: (url: string) => void,
    private readonly onFailed: (reason: string) => void,
  ) {}

  start(): void {
    // Each takes connections from the socket that all of them have: one that is busy takes none, and the
    // primary is not in the way. When it hands them out itself (SCHED_RR), a worker that dies with one in
    // hand leaves its client waiting, and Node 20 does not report that it is gone.
    cluster.schedulingPolicy = cluster.SCHED_NONE;
    cluster.setupPrimary({ exec: PROGRAM, args: [] });
    this.places.push(this.keepFilled());
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
    for (const worker of this.living) worker.process.kill('SIGKILL');
  }

  private async end(): Promise<boolean> {
    this.stopping.abort();
    for (const worker of this.living) worker.process.kill('SIGTERM');
    const deadline = setTimeout(() => {
      this.kill();
    }, STOP_TIMEOUT_MS + GRACE_MS);
    await Promise.all(this.places);
    clearTimeout(deadline);
    return this.isPeaceful;
  }

  private isStopping(): boolean {
    return this.stopping.signal.aborted;
  }

  /** Runs one worker after the other, until the pool stops or gives up. */
  private async keepFilled(): Promise<void> {
    /** How many in a row did not live long, and how many ended before they served. */
    let [shortLives, failedStarts] = [0, 0];
    while (!this.isStopping()) {
      const { worker, exit, reason, servedMs } = await this.live();
      if (this.isStopping()) {
        // a signal may come before it listens for them
        this.isPeaceful &&= exit === 0 || exit === 'SIGTERM' || exit === 'SIGINT';
        return;
      }
      failedStarts = servedMs === 0 ? failedStarts + 1 : 0;
      const isHopeless = failedStarts >= MOST_FAILED_STARTS && this.serving.size === 0;
      if (isHopeless || (reason !== undefined && !this.hasStarted)) {
        this.onFailed(reason ?? hopeless(exit));
        return;
      }
      if (servedMs >= SETTLED_MS) shortLives = 0;
      const pauseMs = Math.min(FIRST_PAUSE_MS * 2 ** shortLives++, LONGEST_PAUSE_MS);
      this.log.warn(
        reason === undefined
          ? `A worker ended (${nameOf(exit)}) and is replaced`
          : `A worker failed to start, another one is started: ${reason}`,
        { worker: worker.process.pid, pauseMs },
        'Workers',
      );
      await sleep(pauseMs, undefined, this.stopping).catch(() => undefined);
    }
  }

  /** The life of a worker: how it ended, why it could not start if it said so, and how long it served. */
  private async live() {
    const worker = cluster.fork({
      ...this.variables,
      // the first one has run them
      ...(this.places.length > 1 && { RUN_MIGRATIONS: 'false' }),
    });
    if (Date.now() - this.lastStart > ONE_START_MS) this.lastStart = Date.now();
    this.living.add(worker);
    let reason: string | undefined;
    let servingSince: number | undefined;
    worker.on('message', (message: StartMessage) => {
      if (message.type === 'failed') reason = message.reason;
      if (message.type !== 'serving') return;
      servingSince = performance.now();
      this.serve(worker, message.url);
    });
    const exit = await exitOf(worker);
    this.living.delete(worker);
    this.serving.delete(worker);
    const servedMs = servingSince === undefined ? 0 : performance.now() - servingSince;
    return { worker, exit, reason, servedMs };
  }

  private serve(worker: Worker, url: string): void {
    this.serving.add(worker);
    if (this.isStopping()) return;
    while (this.places.length < this.count) this.places.push(this.keepFilled());
    if (this.hasStarted) {
      this.log.log('A new worker is ready', { worker: worker.process.pid, url }, 'Workers');
    } else if (this.serving.size === this.count) {
      this.hasStarted = true;
      this.onStarted(url);
    }
  }
}

function exitOf(worker: Worker): Promise<Exit> {
  return new Promise((resolve) => {
    worker.on('error', () => {
      // if the process could not be spawned, there is no exit event; otherwise a message was sent to one that has just exited
      if (worker.process.pid === undefined) resolve('no process');
    });
    worker.once('exit', (code: number, signal: NodeJS.Signals | null) => {
      const end = () => {
        resolve(signal ?? code);
      };
      // its last words may arrive after its exit code
      if (worker.isConnected()) worker.once('disconnect', end);
      setTimeout(end, worker.isConnected() ? LAST_WORDS_MS : 0);
    });
  });
}

function hopeless(exit: Exit): string {
  return `${MOST_FAILED_STARTS} workers in a row ended before they were ready, the last one by ${nameOf(exit)}. Check the log above for the reason, or set a smaller WORKERS if memory is short.`;
}

function nameOf(exit: Exit): string {
  return typeof exit === 'number' ? `exit code ${exit}` : exit;
}
