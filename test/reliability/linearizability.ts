import { fingerprint, type HistoryEvent, take, type UserState } from './history.js';

/** Orders that are tried before it is called undecided: a history of honest answers needs a few per event. */
const MOST_TRIES = 100_000;

/**
 * Proves a history: finds an order of its operations in which a serial server gives just the
 * answers that were given, and in which whatever was answered before another was sent comes before
 * it. An operation without an answer may have taken place at any moment after it was sent, whole,
 * or not at all.
 *
 * @param initial the state before all of it
 * @returns the state after it
 * @throws Error where there is no such order: something was lost, mixed up, or told untruly
 */
export function linearize(initial: UserState, history: readonly HistoryEvent[]): UserState {
  return new Search(history).from(initial);
}

class Search {
  private readonly answered: readonly HistoryEvent[];
  private readonly unanswered: readonly HistoryEvent[];
  /** What has its place in the order already. */
  private readonly placed = new Set<HistoryEvent>();
  private firstOpen = 0;
  private readonly deadEnds = new Set<string>();
  private tries = 0;
  private furthest = -1;
  private stuck = '';

  constructor(history: readonly HistoryEvent[]) {
    const inOrder = [...history].sort((one, other) => one.invoked - other.invoked);
    this.answered = inOrder.filter(({ answer }) => answer !== undefined);
    this.unanswered = inOrder.filter(({ answer }) => answer === undefined);
  }

  from(initial: UserState): UserState {
    const final = this.search(initial);
    if (final) return final;
    const decided = this.tries < MOST_TRIES ? '' : 'Undecided, the search was broken off. ';
    throw new Error(
      `${decided}No serial order gives these answers: of ${this.answered.length} operations, ${this.furthest} have a place. ${this.stuck}`,
    );
  }

  private search(state: UserState): UserState | undefined {
    this.tries += 1;
    if (this.tries > MOST_TRIES) return undefined;
    const settled = this.settle(state);
    const found = this.goOn(state);
    if (!found) for (const event of settled) this.take(event, false);
    return found;
  }

  private goOn(state: UserState): UserState | undefined {
    const { open, horizon } = this.window();
    if (open.length === 0) return state;
    const here = this.position(open, horizon, state);
    if (this.deadEnds.has(here)) return undefined;
    for (const event of open) {
      const { state: after, answer } = take(state, event.operation);
      if (answer !== event.answer) continue;
      const found = this.attempt(event, after);
      if (found) return found;
    }
    for (const event of this.unanswered) {
      if (event.invoked > horizon) break;
      if (this.placed.has(event)) continue;
      const { state: after } = take(state, event.operation);
      if (after === state) continue;
      const found = this.attempt(event, after);
      if (found) return found;
    }
    this.remember(state, open);
    this.deadEnds.add(here);
    return undefined;
  }

  private attempt(event: HistoryEvent, after: UserState): UserState | undefined {
    this.take(event, true);
    const found = this.search(after);
    if (!found) this.take(event, false);
    return found;
  }

  /**
   * Gives a place to all that can have one here and changes nothing. None of them has to be tried
   * later as well: what changes nothing stands in nobody's way.
   */
  private settle(state: UserState): HistoryEvent[] {
    const settled: HistoryEvent[] = [];
    for (;;) {
      const idle = this.window().open.filter(({ operation, answer }) => {
        const taken = take(state, operation);
        return taken.state === state && taken.answer === answer;
      });
      if (idle.length === 0) return settled;
      for (const event of idle) {
        this.take(event, true);
        settled.push(event);
      }
    }
  }

  /** The answered operations that may be next: those that were sent before any other was answered. */
  private window(): { open: HistoryEvent[]; horizon: number } {
    while (this.firstOpen < this.answered.length && this.placed.has(this.answered[this.firstOpen]!))
      this.firstOpen += 1;
    const open: HistoryEvent[] = [];
    let horizon = Infinity;
    for (let index = this.firstOpen; index < this.answered.length; index += 1) {
      const event = this.answered[index]!;
      if (event.invoked > horizon) break;
      if (this.placed.has(event)) continue;
      open.push(event);
      horizon = Math.min(horizon, event.answered);
    }
    return { open, horizon };
  }

  private take(event: HistoryEvent, place: boolean): void {
    if (place) {
      this.placed.add(event);
      return;
    }
    this.placed.delete(event);
    if (event.answer !== undefined) {
      this.firstOpen = Math.min(this.firstOpen, this.answered.indexOf(event));
    }
  }

  /** The same text, the same way on: what is open, what may have happened, and the state. */
  private position(open: HistoryEvent[], horizon: number, state: UserState): string {
    const happened = this.unanswered.filter((event) => this.placed.has(event));
    return [
      open.map(({ invoked }) => invoked).join(),
      horizon,
      happened.map(({ invoked }) => invoked).join(),
      fingerprint(state),
    ].join('|');
  }

  private remember(state: UserState, open: HistoryEvent[]): void {
    const places = this.answered.filter((event) => this.placed.has(event)).length;
    if (places <= this.furthest) return;
    this.furthest = places;
    this.stuck = `Then one of these has to be next:\n${open.map((event) => told(state, event)).join('\n')}`;
  }
}

function told(state: UserState, { operation, answer, invoked, answered }: HistoryEvent): string {
  const { answer: right } = take(state, operation);
  return `  ${invoked}–${answered} ${JSON.stringify(operation)}\n    was answered: ${answer}\n    and serially: ${right}`;
}
