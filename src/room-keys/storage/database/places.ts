import { FairSemaphore } from './fair-semaphore.js';
import { timeouts } from './timeouts.js';

/** How many requests of one user can wait for each kind of work; beyond it, that user gets 429. */
const WAITING_PER_USER = 1000;
/** SQLite reads a restore through a connection of its own, of which there can be any number. */
const RESTORES_BESIDE = 8;
/** Restores that are under way at once: each holds a page in memory, 1 MiB at most. */
const RESTORES_UNDER_WAY = 256;
const RESTORES_UNDER_WAY_PER_USER = 32;

/** Who may use the connections of a database at once. */
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
