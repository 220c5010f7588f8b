import { createServer } from 'node:http';
import { ExpressAdapter } from '@nestjs/platform-express';
import type { Environment } from './environment.js';

/** How often Node looks for requests that take too long, if their time is not short itself. */
const LOOK_EVERY_MS = 5_000;
/**
 * How long an idle connection is kept. Longer than proxies keep theirs, 60 seconds in most: of the two
 * the proxy must be the one that closes, or it sends a request into a connection that is just being
 * closed, and its client gets a 502. Node's own default is 5 seconds.
 */
const KEEP_ALIVE_MS = 75_000;

/** Express on a server of Node's that gives each request only so much time to come. */
export class TimedExpressAdapter extends ExpressAdapter {
  constructor(private readonly times: Pick<Environment, 'headersTimeoutMs' | 'requestTimeoutMs'>) {
    super();
  }

  // of Nest's options for a server, the standalone one uses none
  override initHttpServer(): void {
    const { headersTimeoutMs, requestTimeoutMs } = this.times;
    this.httpServer = createServer(
      {
        headersTimeout: headersTimeoutMs,
        requestTimeout: requestTimeoutMs,
        keepAliveTimeout: KEEP_ALIVE_MS,
        connectionsCheckingInterval: Math.min(LOOK_EVERY_MS, headersTimeoutMs),
      },
      this.getInstance<Parameters<typeof createServer>[1]>(),
    );
  }
}
