import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import { Redis } from 'ioredis';
import type { Environment } from './environment.js';

/** How long to wait for Redis when it is connected to, and the longest pause before the next try. */
const CONNECT_TIMEOUT_MS = 2000;
const LONGEST_PAUSE_MS = 2000;

/** The connection to the Redis of `REDIS_URL`, if there is one: it comes and goes without anybody waiting for it. */
@Injectable()
export class RedisConnection implements OnApplicationShutdown {
  constructor(readonly client: Redis | undefined) {}

  static of({ redisUrl, rates }: Environment): RedisConnection {
    // without limits there is nothing to share
    return new RedisConnection(rates && redisUrl && connect(redisUrl));
  }

  onApplicationShutdown(): void {
    this.client?.disconnect();
  }
}

function connect(url: URL): Redis {
  const client = new Redis(url.href, {
    connectTimeout: CONNECT_TIMEOUT_MS,
    // what cannot be asked now is not asked later
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => Math.min(attempt * 100, LONGEST_PAUSE_MS),
  });
  logFailures(client, url);
  return client;
}

/** Once for each time that it is away, not for each try to reach it. */
function logFailures(client: Redis, { host }: URL): void {
  const logger = new Logger('Redis');
  let complained = false;
  client.on('ready', () => (complained = false));
  client.on('error', ({ message }: Error) => {
    if (!complained) logger.warn(`Redis at ${host}: ${message}`);
    complained = true;
  });
}
