import cluster from 'node:cluster';
import type { Server } from 'node:http';
import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { STOP_TIMEOUT_MS } from './listening.js';

/** Lets running requests finish when the server is stopped, without a busy connection keeping it alive. */
@Injectable()
export class GracefulShutdown implements BeforeApplicationShutdown, OnApplicationShutdown {
  private readonly logger = new Logger('Server');

  constructor(private readonly adapterHost: HttpAdapterHost) {}

  beforeApplicationShutdown(signal?: string): void {
    if (signal !== undefined) this.say(`Stopping on ${signal}`, signal);
    // who presses Ctrl-C again does not want to wait; a worker's is for the process above it to say
    if (!cluster.isWorker) process.once('SIGINT', () => process.exit(130));
    const server = this.adapterHost.httpAdapter.getHttpServer() as Server;
    // read after each answer: a connection that has one now is closed after it
    server.keepAliveTimeout = 1;
    setTimeout(() => {
      server.closeAllConnections();
    }, STOP_TIMEOUT_MS).unref();
  }

  onApplicationShutdown(signal?: string): void {
    if (signal !== undefined) this.say('Stopped', signal);
  }

  /** Of several processes, the one above them says it once for all. */
  private say(message: string, signal: string): void {
    this.logger[cluster.isWorker ? 'debug' : 'log'](message, { signal });
  }
}
