import type { NestExpressApplication } from '@nestjs/platform-express';

/** Longer than any test. */
const NEVER_MS = 3_600_000;

/**
 * Has the server of a host leave idle connections open. With Node's five seconds, a busy machine has it close
 * one in the very moment in which a test, that was held up for as long, sends its next request there.
 */
export function keepIdleConnections(app: NestExpressApplication): void {
  app.getHttpServer().keepAliveTimeout = NEVER_MS;
}
