import type { HttpClient, Reader } from '../http-client.js';
import { median, quantile } from '../statistics.js';

/** How many answers had each status. */
export type Statuses = Record<string, number>;

/** Stands for a status where no complete answer came. */
const NO_ANSWER = 'no answer';

/** What matrix-js-sdk waits at least after a 5xx. */
export const BACK_OFF_MS = 2000;

export interface Attempt {
  /** Such as `200`, or `no answer`. */
  status: string;
  ms: number;
  body: Buffer[];
}

/** What a user got for requests of one kind: milliseconds of the answers that were 200. */
export interface Observed {
  samples: number;
  /** Those that were not answered 200. */
  failures: number;
  statuses: Statuses;
  /** NaN where no request was answered 200. */
  median: number;
  p99: number;
  /** Of all requests, failed ones included. */
  longest: number;
}

/** The same requests alone on the server, before and after, and beside a busy user. */
export interface Effect {
  alone: Observed;
  busy: Observed;
}

/** Sends a request. A refused or broken one is a result like any other. */
export async function attempt(
  client: HttpClient,
  method: string,
  path: string,
  body?: Buffer,
  reader?: Reader,
): Promise<Attempt> {
  const begun = performance.now();
  try {
    const answer = await client.send(method, path, body, reader);
    return { status: String(answer.status), ms: answer.ms, body: answer.body };
  } catch {
    return { status: NO_ANSWER, ms: performance.now() - begun, body: [] };
  }
}

export function countStatus(statuses: Statuses, { status }: Pick<Attempt, 'status'>): void {
  statuses[status] = (statuses[status] ?? 0) + 1;
}

/** Collects the answers to requests of one kind. */
export class Samples {
  private readonly times: number[] = [];
  private readonly statuses: Statuses = {};
  private longest = 0;

  add(answer: Attempt): void {
    countStatus(this.statuses, answer);
    this.longest = Math.max(this.longest, answer.ms);
    if (answer.status === '200') this.times.push(answer.ms);
  }

  get observed(): Observed {
    const samples = Object.values(this.statuses).reduce((sum, one) => sum + one, 0);
    return {
      samples,
      failures: samples - this.times.length,
      statuses: this.statuses,
      median: median(this.times),
      p99: quantile(this.times, 0.99),
      longest: this.longest,
    };
  }
}
