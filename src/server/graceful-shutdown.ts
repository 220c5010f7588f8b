import type { Server } from 'node:http';
import { type BeforeApplicationShutdown, Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';

/** How long requests that are under way may take to finish. */
const PATIENCE_MS = 25_000;

/** Lets running requests finish when the server is told to stop, but not a busy connection keep it up. */
@Injectable()
export class GracefulShutdown implements BeforeApplicationShutdown {
  constructor(private readonly adapterHost: HttpAdapterHost) {}

  beforeApplicationShutdown(): void {
    const server = this.adapterHost.httpAdapter.getHttpServer() as Server;
    // read after each answer: a connection that has one now is closed after it
    server.keepAliveTimeout = 1;
    setTimeout(() => {
      server.closeAllConnections();
    }, PATIENCE_MS).unref();
  }
}
