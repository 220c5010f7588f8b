/** THE MESSAGES between the primary process and its workers. */
import type { Registry } from 'prom-client';

/** A metric with its values, as it is sent from a worker to the primary. */
export type MetricSnapshot = Awaited<ReturnType<Registry['getMetricsAsJSON']>>[number];

/** Messages from a worker to the primary. */
export type FromWorker =
  /** It listens, at this URL. */
  | { type: 'serving'; url: string }
  /** It could not start, for a reason that is reported to the operator, and exits. */
  | { type: 'failed'; reason: string }
  /** Its metrics, as they were asked for. */
  | { type: 'metrics'; question: number; metrics: MetricSnapshot[] };

/** What the primary asks a worker: its metrics. */
export interface ToWorker {
  type: 'metrics';
  question: number;
}
