import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { AppModule } from './app.module.js';
import { serveDocs } from './docs.js';
import type { Environment } from './environment.js';
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
  app.enableShutdownHooks();
  serveDocs(app);
  return app;
}
