import cluster from 'node:cluster';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule } from './app.module.js';
import { ConnectionLimit } from './connection-limit.js';
import { serveDocs } from './docs.js';
import type { Environment } from './environment.js';
import { answerMalformedRequests } from './malformed-requests.js';
import { removeStaleSocket, SOCKET_MODE, urlOf } from './listening.js';
import { RequestLog } from './logs/request-log.js';
import { ServerLogger } from './logs/server-logger.js';
import { MetricsServer } from './metrics/metrics-server.js';
import { RedisConnection } from './redis-connection.js';
import { isSocketPath } from './setting-parsers.js';
import { aboutListening } from './start-failure.js';
import { TimedExpressAdapter } from './timed-express.adapter.js';
import { UnrecognizedFilter } from './unrecognized.filter.js';

/** Builds the standalone server, all but listening. */
export async function createApplication(environment: Environment): Promise<NestExpressApplication> {
  // before Nest, which would write a failure to the log, and not in one sentence
  const redis = RedisConnection.of(environment);
  const app = await NestFactory.create<NestExpressApplication>(
    AppModule.with(environment, redis),
    new TimedExpressAdapter(environment),
    {
      logger: new ServerLogger(environment),
      // no route of the server has a body but those of the module, which reads them itself
      bodyParser: false,
      // the start is to fail with its cause, not to end the process
      abortOnError: false,
    },
  );
  app.disable('x-powered-by');
  app.useGlobalFilters(new UnrecognizedFilter());
  app.enableShutdownHooks([], { useProcessExit: true });
  if (environment.servesDocs) serveDocs(app);
  return app;
}

/** Where it can be reached. */
export interface Addresses {
  /** Such as `http://127.0.0.1:8090`. */
  url: string;
  /** Such as `http://127.0.0.1:9464/metrics`; undefined where there are no metrics. */
  metricsUrl: string | undefined;
}

/**
 * Listens. Not by `app.listen`, which writes its failure to the log before the caller can say it in
 * a sentence.
 */
export async function listen(
  app: NestExpressApplication,
  { host, port, socketMode, metricsHost = '127.0.0.1', metricsPort }: Environment,
): Promise<Addresses> {
  await app.init();
  const server = app.getHttpServer();
  app.get(RequestLog).follow(server);
  app.get(ConnectionLimit).watch(server);
  const metricsUrl =
    metricsPort === undefined
      ? undefined
      : await app.get(MetricsServer).listen(metricsHost, metricsPort);
  answerMalformedRequests(server);
  try {
    if (isSocketPath(host)) {
      // with WORKERS the primary has done so, and other workers may listen by now
      if (!cluster.isWorker) await removeStaleSocket(host);
      server.listen(host);
      await once(server, 'listening');
      chmodSync(host, socketMode ?? SOCKET_MODE);
    } else {
      server.listen(port, host);
      await once(server, 'listening');
    }
  } catch (error) {
    throw aboutListening(error, '');
  }
  return { url: urlOf(server), metricsUrl };
}
