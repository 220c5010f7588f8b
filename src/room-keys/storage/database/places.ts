/** Who may use the connections of a database at once, and who is next. */
import { StorageUnavailableError, TooManyWaitingError } from '../../storage.errors.js';
import { asStorageError, BusyError } from './errors.js';
import { timeouts } from './timeouts.js';

/** How many requests of one user can wait for each kind of work; beyond it, that user gets 429. */
const WAITING_PER_USER = 1000;
/** SQLite reads a restore through a connection of its own, of which there can be any number. */
const RESTORES_BESIDE = 8;
/** Restores that are under way at once: each holds a page in memory, 1 MiB at most. */
const RESTORES_UNDER_WAY = 256;
const RESTORES_UNDER_WAY_PER_USER = 32;

/** The places for each kind of work. */
export interface Places {
  /** Transactions that write: one of a user, since they would wait for each other in the database. */
  changes: FairSemaphore;
  /** Short reads. */
  reads: FairSemaphore;
  /** Snapshots of restores. */
  restores: FairSemaphore;
  restoresUnderWay: FairSemaphore;
}

/**
 * Divides connections: a half for changes, a quarter for restores, and what is left for short reads, which so
 * find one however long changes wait for locks, and restores for their clients. Too few are shared.
 *
 * @param connections how many may be in use at once
 */
export function sharedPlaces(connections: number): Places {
  const restores = Math.floor(connections / 4) || (connections > 2 ? 1 : 0);
  const changes = Math.floor(connections / 2);
  const reads = connections - changes - restores;
  const forReads = semaphore(reads, half(reads));
  // of two connections one is for what takes long, and of one all is
  const forChanges = changes === 0 ? forReads : semaphore(changes, 1);
  return {
    reads: forReads,
    changes: forChanges,
    restores:
      restores === 0 ? forChanges : semaphore(restores, half(restores), timeouts.restoreTurnMs),
    restoresUnderWay: underWay(),
  };
}

/** The places of a database with one connection, on which changes and reads take turns, and restores beside it. */
export function onePlace(): Places {
  return {
    changes: semaphore(1, 1),
    reads: semaphore(1, 1),
    restores: semaphore(RESTORES_BESIDE, half(RESTORES_BESIDE), timeouts.restoreTurnMs),
    restoresUnderWay: underWay(),
  };
}

const half = (places: number) => Math.max(1, Math.floor(places / 2));

const semaphore = (places: number, placesPerUser: number, timeoutMs = timeouts.turnMs) =>
  new FairSemaphore({ places, placesPerUser, waitingPerUser: WAITING_PER_USER, timeoutMs });

const underWay = () =>
  new FairSemaphore({
    places: RESTORES_UNDER_WAY,
    placesPerUser: RESTORES_UNDER_WAY_PER_USER,
    waitingPerUser: 0,
    timeoutMs: timeouts.turnMs,
  });

/** Does work in a place. What failed because the database is not available was not served. */
export async function inPlace<T>(
  places: FairSemaphore,
  user: string,
  work: () => Promise<T>,
): Promise<T> {
  const leave = await places.acquire(user);
  try {
    return await work();
  } catch (error) {
    leave(!(asStorageError(error) instanceof StorageUnavailableError));
    throw error;
  } finally {
    leave();
  }
}

/** Milliseconds after which a refused user can try again. */
const RETRY_AFTER_MS = 2000;

interface Waiter {
  admit: () => void;
}

/** The requests of one user. */
interface Lane {
  user: string;
  inside: number;
  waiting: Set<Waiter>;
  /** Requests that were served. */
  served: number;
}

export interface FairSemaphoreOptions {
  /** How many can be inside at once. */
  places: number;
  /** How many of one user can be inside at once. */
  placesPerUser: number;
  /** How many of one user can wait. */
  waitingPerUser: number;
  /** How long one can wait, in milliseconds. */
  timeoutMs: number;
}

/**
 * Limits how many are inside at once, in all and of one user. A free place goes to the users who wait in
 * turn, not to their requests: one who makes a thousand requests waits for those, and no other user does.
 */
export class FairSemaphore {
  private count = 0;
  private waitingCount = 0;
  private readonly lanes = new Map<string, Lane>();
  /** Users who wait and may have a place, in the order of their turns. */
  private readonly turns = new Set<Lane>();

  /** Called when a request has to wait. */
  onWait: (() => void) | undefined;

  constructor(private readonly options: FairSemaphoreOptions) {}

  /** How many are inside. */
  get inside(): number {
    return this.count;
  }

  /** How many wait. */
  get waiting(): number {
    return this.waitingCount;
  }

  /** Whether requests of a user are inside, or wait. */
  has(user: string): boolean {
    return this.lanes.has(user);
  }

  /** Whether a request waits that is admitted as soon as this user frees a place. */
  isWantedFrom(user: string): boolean {
    return this.turns.size > 0 || (this.lanes.get(user)?.waiting.size ?? 0) > 0;
  }

  /**
   * Waits for a place.
   *
   * @param user whom it is for
   * @returns frees the place, and says whether the request was served; safe to call again
   * @throws TooManyWaitingError when too many requests of the user wait, or those before it took too long;
   *   BusyError when none of them was served in time
   */
  async acquire(user: string): Promise<(isServed?: boolean) => void> {
    let lane = this.lanes.get(user);
    if (!lane) this.lanes.set(user, (lane = { user, inside: 0, waiting: new Set(), served: 0 }));
    if (this.count < this.options.places && this.mayEnter(lane)) this.enter(lane);
    else await this.turn(lane);
    let left = false;
    return (isServed = true) => {
      if (left) return;
      left = true;
      if (isServed) lane.served += 1;
      this.leave(lane);
    };
  }

  private mayEnter({ inside }: Lane): boolean {
    return inside < this.options.placesPerUser;
  }

  private enter(lane: Lane): void {
    this.count += 1;
    lane.inside += 1;
  }

  private leave(lane: Lane): void {
    this.count -= 1;
    lane.inside -= 1;
    if (lane.waiting.size > 0) this.turns.add(lane);
    else this.forgetIfIdle(lane);
    this.admitNext();
  }

  private forgetIfIdle({ user, inside, waiting }: Lane): void {
    if (inside === 0 && waiting.size === 0) this.lanes.delete(user);
  }

  /** A place is handed on at once, so that a request that comes just now does not get in between. */
  private admitNext(): void {
    for (const lane of this.turns) {
      if (this.count >= this.options.places) return;
      // to the end of the turns, if it still has one
      this.turns.delete(lane);
      if (!this.mayEnter(lane)) continue;
      const [first] = lane.waiting;
      if (!first) continue;
      lane.waiting.delete(first);
      this.waitingCount -= 1;
      this.enter(lane);
      if (lane.waiting.size > 0 && this.mayEnter(lane)) this.turns.add(lane);
      first.admit();
    }
  }

  private turn(lane: Lane): Promise<void> {
    if (lane.waiting.size >= this.options.waitingPerUser) {
      const isFull = lane.waiting.size === 0 && this.mayEnter(lane);
      this.forgetIfIdle(lane);
      return Promise.reject(isFull ? noPlace() : new TooManyWaitingError(RETRY_AFTER_MS));
    }
    const { served } = lane;
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        admit: () => {
          clearTimeout(timer);
          resolve();
        },
      };
      const timer = setTimeout(() => {
        lane.waiting.delete(waiter);
        this.waitingCount -= 1;
        const isOwnQueue = lane.served > served;
        if (lane.waiting.size === 0) this.turns.delete(lane);
        this.forgetIfIdle(lane);
        reject(isOwnQueue ? new TooManyWaitingError(RETRY_AFTER_MS) : noPlace());
      }, this.options.timeoutMs).unref();
      lane.waiting.add(waiter);
      this.waitingCount += 1;
      if (this.mayEnter(lane)) this.turns.add(lane);
      this.onWait?.();
    });
  }
}

const noPlace = () => new BusyError('The database is busy: no place became free in time.');
