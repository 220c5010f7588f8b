import type { Worker } from 'node:cluster';
import { AggregatorRegistry, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { FromWorker, MetricSnapshot, ToWorker } from './messages.js';

/** The workers, as far as their metrics depend on them. */
interface Workers {
  readonly serving: readonly Worker[];
  /** In milliseconds since 1970. */
  readonly lastStart: number;
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
  private readonly questions = new Map<number, (answered: boolean) => void>();
  private nextQuestion = 0;

  readonly contentType = this.own.contentType;

  constructor(private readonly workers: Workers) {
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
  }

  /** In Prometheus' text format. Of a worker that does not answer in time, the counters are those it said last. */
  async metrics(): Promise<string> {
    const answered = new Set<Worker>();
    await Promise.all(
      this.workers.serving.map(async (worker) => {
        if (await this.request(worker)) answered.add(worker);
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

  /** What a worker answers. */
  heard(worker: Worker, message: FromWorker): void {
    if (message.type !== 'metrics') return;
    this.last.set(worker, message.metrics.map(withoutGaps));
    this.questions.get(message.question)?.(true);
  }

  /** A worker has exited. */
  ended(worker: Worker): void {
    const counters = countersOf(this.last.get(worker) ?? []);
    this.last.delete(worker);
    const sum = AggregatorRegistry.aggregate([this.gone, counters]);
    // each has its values beside it, which its type does not say
    this.gone = sum.getMetricsAsArray() as MetricSnapshot[];
  }

  /** @returns whether it answered */
  private async request(worker: Worker): Promise<boolean> {
    const question = this.nextQuestion++;
    const answer = new Promise<boolean>((resolve) => {
      this.questions.set(question, resolve);
    });
    const giveUp = () => this.questions.get(question)?.(false);
    const timer = setTimeout(giveUp, TIMEOUT_MS);
    worker.once('disconnect', giveUp);
    worker.send({ type: 'metrics', question } satisfies ToWorker);
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
      worker.off('disconnect', giveUp);
      this.questions.delete(question);
    }
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
