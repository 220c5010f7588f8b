import cluster, { type Worker } from 'node:cluster';
import { EventEmitter, once } from 'node:events';
import { AggregatorRegistry, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { WorkerPool } from './worker-pool.js';

/** A metric with its values, as it is sent from a worker to the primary. */
type MetricSnapshot = Awaited<ReturnType<Registry['getMetricsAsJSON']>>[number];

/** What the primary asks a worker: its metrics. */
export interface MetricsQuestion {
  type: 'metrics';
  question: number;
}

/** What a worker answers. */
export interface MetricsAnswer extends MetricsQuestion {
  metrics: MetricSnapshot[];
}

/** A worker asks services whether they answer, for 3 seconds at most; Prometheus waits for 10. */
const TIMEOUT_MS = 4_500;
const START_TIME = 'process_start_time_seconds';
/** An average would hide a process that is full behind others that idle. */
const LAG = /^nodejs_eventloop_lag_(?!min)/;

/**
 * The metrics of all workers and of the primary: added up, unless a metric says otherwise (`aggregator`).
 * Counters go on from where a worker that ended left them when they were last read: they never go back.
 */
export class AggregatedMetrics {
  /** Those of the primary. */
  private readonly own = new Registry();
  /** What each worker said last. */
  private readonly last = new Map<Worker, MetricSnapshot[]>();
  /** The counters of those that ended. */
  private gone: MetricSnapshot[] = [];
  /** An event for each question that is answered, named after its number. */
  private readonly answers = new EventEmitter();
  private nextQuestion = 0;

  readonly contentType = this.own.contentType;

  constructor(private readonly workers: WorkerPool) {
    collectDefaultMetrics({ register: this.own });
    // of each process there is one, and of all of them the last: so a worker's end is seen as a start
    this.own.removeSingleMetric(START_TIME);
    new Gauge({
      name: START_TIME,
      help: 'When the youngest of the processes was started, in seconds since 1970.',
      aggregator: 'first',
      registers: [this.own],
      collect() {
        this.set(workers.lastStart / 1000);
      },
    });
    cluster.on('message', (worker, { type, question, metrics }: Partial<MetricsAnswer>) => {
      if (type !== 'metrics' || !metrics) return;
      this.last.set(worker, metrics.map(withoutGaps));
      this.answers.emit(String(question));
    });
    // after its last message
    cluster.on('disconnect', (worker) => {
      const counters = countersOf(this.last.get(worker) ?? []);
      this.last.delete(worker);
      const sum = AggregatorRegistry.aggregate([this.gone, counters]);
      // each has its values beside it, which its type does not say
      this.gone = sum.getMetricsAsArray() as MetricSnapshot[];
    });
  }

  /** In Prometheus' text format. Of a worker that does not answer in time, the counters are those it said last. */
  async metrics(): Promise<string> {
    const answered = new Set<Worker>();
    await Promise.all(
      [...this.workers.serving].map(async (worker) => {
        if (await this.isAnsweredBy(worker)) answered.add(worker);
      }),
    );
    const own = (await this.own.getMetricsAsJSON()).map((metric) =>
      LAG.test(metric.name) ? { ...metric, aggregator: 'max' as const } : metric,
    );
    // nothing is awaited from here on, so that a worker which ends is in one of both, and not in both
    const workers = [...this.last].map(([worker, all]) =>
      answered.has(worker) ? all : countersOf(all),
    );
    return AggregatorRegistry.aggregate([own, ...workers, this.gone]).metrics();
  }

  /** Asks a worker for its metrics, and waits for the answer, as long as it can come. */
  private async isAnsweredBy(worker: Worker): Promise<boolean> {
    if (!worker.isConnected()) return false;
    const question = this.nextQuestion++;
    const disconnected = new AbortController();
    const giveUp = () => {
      disconnected.abort();
    };
    worker.once('disconnect', giveUp);
    worker.send({ type: 'metrics', question } satisfies MetricsQuestion);
    const signal = AbortSignal.any([disconnected.signal, AbortSignal.timeout(TIMEOUT_MS)]);
    return once(this.answers, String(question), { signal })
      .then(() => true)
      .catch(() => false)
      .finally(() => worker.off('disconnect', giveUp));
  }
}

/** What only ever grows, and is still true when its worker is gone or silent. */
function countersOf(metrics: readonly MetricSnapshot[]): MetricSnapshot[] {
  // its declared type is a number, which it is not
  return metrics.filter(({ type }) => String(type) !== 'gauge');
}

/** JSON has no NaN, which is the mean of nothing. */
function withoutGaps(metric: MetricSnapshot): MetricSnapshot {
  return { ...metric, values: metric.values.filter(({ value }) => Number.isFinite(value)) };
}
