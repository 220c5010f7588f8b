import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule } from './app.module.js';
import { serveDocs } from './docs.js';
import type { Environment } from './environment.js';
import { answerMalformedRequests } from './malformed-requests.js';
import { UnrecognizedFilter } from './unrecognized.filter.js';

/** Builds the standalone server, all but listening. */
export async function createApplication(environment: Environment): Promise<NestExpressApplication> {
  const app = await NestFactory.create<NestExpressApplication>(AppModule.with(environment), {
    logger: ['warn', 'error', 'fatal'],
    // the start is to fail with its cause, not to end the process
    abortOnError: false,
  });
  app.disable('x-powered-by');
  app.useGlobalFilters(new UnrecognizedFilter());
  app.enableShutdownHooks([], { useProcessExit: true });
  serveDocs(app);
  return app;
}

/**
 * Listens, and returns the URL of the server. Not by `app.listen`, which writes its failure to the
 * log before the caller can say it in a sentence.
 */
export async function listen(
  app: NestExpressApplication,
  { host, port }: Environment,
): Promise<string> {
  await app.init();
  const server = app.getHttpServer();
  answerMalformedRequests(server);
  server.listen(port, host);
  await once(server, 'listening');
  const at = server.address() as AddressInfo;
  const name = at.family === 'IPv6' ? `[${at.address}]` : at.address;
  return `http://${name}:${at.port}`;
}
