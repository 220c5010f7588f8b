/** How long one waits for the database, in milliseconds; tests are less patient. */
export const timeouts = {
  /**
   * For the answer to a statement of a request. More than the 50 seconds that InnoDB lets it wait for a lock by
   * default, so that it is the database that ends such a wait, in its own words. Less than the 60 seconds after
   * which proxies give up, so that the client gets our response and tries again.
   */
  requestMs: 55_000,
  /** For a lock that another session holds, on PostgreSQL: what waits longer is begun again. */
  lockMs: 3000,
  /**
   * After which PostgreSQL itself ends a statement of a change, or a change that stands still: one that this process
   * has given up must not go on for ever, nor keep its locks.
   */
  statementMs: 60_000,
  /** For the answer to a statement of an operator: those that go through whole tables take their time. */
  operatorMs: 60 * 60_000,
  /**
   * For a connection, be it one that others have or a new one: a little more than the 10 seconds in which
   * mysql2 makes one, since its word for a failure says more.
   */
  connectionMs: 15_000,
  /** For waiting in the queues of this process. */
  turnMs: 30_000,
  /** For the turn of a restore. */
  restoreTurnMs: 15_000,
};

/** Waits for a promise, and fails with what `late` makes when it takes longer. */
export function within<T>(coming: Promise<T>, ms: number, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(late());
    }, ms);
    const inTime =
      <A>(settle: (outcome: A) => void) =>
      (outcome: A) => {
        clearTimeout(timer);
        settle(outcome);
      };
    coming.then(inTime(resolve), inTime(reject));
  });
}
