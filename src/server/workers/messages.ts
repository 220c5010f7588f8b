/** THE MESSAGES between the primary process and its workers. */
import type { MetricSnapshot } from './metrics-together.js';

/** What a worker tells the primary. */
export type FromWorker =
  /** It listens, at this URL. */
  | { type: 'serving'; url: string }
  /** It could not start, for a reason that is told to the operator, and ends. */
  | { type: 'failed'; reason: string }
  /** Its metrics, as they were asked for. */
  | { type: 'metrics'; question: number; metrics: MetricSnapshot[] };

/** What the primary asks a worker: its metrics. */
export interface ToWorker {
  type: 'metrics';
  question: number;
}
