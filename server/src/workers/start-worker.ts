import { Logger } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { createApplication, listen } from '../application.js';
import { type Environment, readEnvironment, type Variables } from '../environment.js';
import { Metrics } from '../metrics/metrics.js';
import { startFailure } from '../start-failure.js';
import { useLogger } from '../start.js';
import type { MetricsAnswer, MetricsQuestion } from './aggregated-metrics.js';
import type { StartMessage } from './worker-pool.js';

/**
 * Starts the standalone server in a worker, which reports to the primary that it serves, or why it cannot.
 * When the primary is gone, Node itself ends the worker.
 *
 * @param onReady called when the application stops by itself on SIGTERM and SIGINT from there on
 */
export async function startWorker(variables: Variables, onReady: () => void): Promise<void> {
  try {
    const environment = readEnvironment(variables);
    useLogger(environment);
    const app = await createApplication(environment);
    onReady();
    // of the metrics the primary has those of all workers
    const { url } = await listen(app, { ...environment, metricsPort: undefined });
    answerForMetrics(app, environment);
    send({ type: 'serving', url });
  } catch (error) {
    send({ type: 'failed', reason: startFailure(error, variables) }, () => process.exit(1));
  }
}

function answerForMetrics(app: NestExpressApplication, { metricsPort }: Environment): void {
  if (metricsPort === undefined) return;
  const { registry } = app.get(Metrics);
  const logger = new Logger('Metrics');
  // who counts requests together has other messages on the same way
  process.on('message', ({ type, question }: Partial<MetricsQuestion>) => {
    if (type !== 'metrics' || question === undefined) return;
    registry.getMetricsAsJSON().then(
      (metrics) => send({ type, question, metrics }),
      (error: unknown) => logger.error(`The metrics cannot be read: ${(error as Error).message}`),
    );
  });
}

/** @param done called when the message is sent, or cannot be: a worker does not fail because its primary is gone */
function send(message: StartMessage | MetricsAnswer, done: () => void = () => undefined): void {
  process.send?.(message, done);
}
