import { RateLimiterClusterMaster } from 'rate-limiter-flexible';
import { type Environment, readEnvironment, type Variables } from '../environment.js';
import { removeStaleSocket } from '../listening.js';
import { logFaults, ServerLogger } from '../logs/server-logger.js';
import { MetricsEndpoint } from '../metrics/metrics-endpoint.js';
import { isSocketPath } from '../setting-parsers.js';
import { startFailure } from '../start-failure.js';
import { StartupBanner } from '../startup-banner.js';
import { AggregatedMetrics } from './aggregated-metrics.js';
import { WorkerPool } from './worker-pool.js';

/** A signal that comes again so soon is the same one: on Ctrl-C, npm forwards it a second time. */
const SAME_SIGNAL_MS = 1_000;

/**
 * Starts the standalone server as `WORKERS` processes, of which this one is the primary: it starts
 * them, hands the connections to them, and holds everything that must exist only once. It serves no request and loads
 * neither Nest nor TypeORM, so it is small.
 *
 * @param variables whose settings are good, and name more than one worker
 * @param onReady called when the primary stops by itself on SIGTERM and SIGINT from there on
 */
export async function startWorkers(variables: Variables, onReady: () => void): Promise<void> {
  const environment = readEnvironment(variables);
  const { metricsPort, metricsHost = '127.0.0.1' } = environment;
  const log = new ServerLogger(environment);
  const report = new StartupBanner(variables);
  logFaults(log);
  report.remarks(log);
  let metricsUrl: string | undefined;
  const pool = new WorkerPool(
    environment.workers,
    variablesOfWorkers(variables, environment),
    log,
    (url) => {
      report.serving(log, environment, { url, metricsUrl });
    },
    (reason) => {
      report.failed(() => log, reason);
      void pool.stop().then(() => process.exit(1));
    },
  );
  const endpoint = new MetricsEndpoint(new AggregatedMetrics(pool), ({ message }) => {
    log.warn(`The metrics cannot be read: ${message}`, 'Metrics');
  });
  stopOnSignals(pool, log);
  onReady();
  try {
    if (isSocketPath(environment.host)) await removeStaleSocket(environment.host);
    if (metricsPort !== undefined) metricsUrl = await endpoint.listen(metricsHost, metricsPort);
  } catch (error) {
    report.failed(() => log, startFailure(error, variables));
    process.exit(1);
  }
  // the workers count the requests of a user together, in here; with Redis they do it there
  if (environment.rates && !environment.redisUrl) new RateLimiterClusterMaster();
  pool.start();
}

/** A generated token must be the same in all of them. */
function variablesOfWorkers(
  variables: Variables,
  { developmentTokens, developmentTokenMadeUp }: Environment,
): Variables {
  if (!developmentTokenMadeUp) return variables;
  const tokens = developmentTokens.map(({ token, userId }) => `${token}=${userId}`);
  return { ...variables, DEV_TOKENS: tokens.join() };
}

/** The first signal has the workers finish what they do, and the next one ends them at once. */
function stopOnSignals(pool: WorkerPool, log: ServerLogger): void {
  let since: number | undefined;
  const stop = (signal: NodeJS.Signals) => {
    const now = performance.now();
    if (since !== undefined) {
      if (now - since > SAME_SIGNAL_MS) pool.kill();
      return;
    }
    since = now;
    log.log(`Stopping on ${signal}`, { signal }, 'Server');
    void pool.stop().then((peaceful) => {
      log.log('Stopped', { signal }, 'Server');
      process.exit(peaceful ? 0 : 1);
    });
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);
}
