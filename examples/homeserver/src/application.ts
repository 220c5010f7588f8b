import { ValidationPipe } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import helmet from 'helmet';
import { AppModule } from './app.module.js';
import { serveDocs } from './docs.js';
import type { Environment } from './environment.js';
import { EnvelopeInterceptor } from './http/envelope.interceptor.js';
import { ErrorFilter } from './http/error.filter.js';

/** Builds the homeserver, all but listening. */
export async function createApplication(environment: Environment): Promise<NestExpressApplication> {
  const app = await NestFactory.create<NestExpressApplication>(AppModule.with(environment), {
    logger: ['warn', 'error', 'fatal'],
    abortOnError: false,
    // on shutdown, clients try again instead of losing an upload
    return503OnClosing: true,
  });
  // All of this is for our own routes. Those of nestjs-room-keys answer as Matrix says in spite of
  // it: no prefix moves them, no pipe, filter or interceptor changes them, no parser limits them.
  app.use(helmet({ contentSecurityPolicy: { directives: { upgradeInsecureRequests: null } } }));
  app.enableCors({
    origin: '*',
    methods: ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS'],
    allowedHeaders: ['X-Requested-With', 'Content-Type', 'Authorization'],
  });
  app.setGlobalPrefix('admin', { exclude: ['_matrix/client/*path'] });
  app.useGlobalPipes(
    new ValidationPipe({ whitelist: true, forbidNonWhitelisted: true, transform: true }),
  );
  app.useGlobalFilters(new ErrorFilter());
  app.useGlobalInterceptors(new EnvelopeInterceptor());
  app.enableShutdownHooks();
  serveDocs(app);
  return app;
}
