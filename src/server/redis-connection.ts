import { Injectable, Logger, type OnApplicationShutdown } from '@nestjs/common';
import type { Redis } from 'ioredis';
import type { Environment } from './environment.js';
import { SettingError } from './setting-kinds.js';

/** How long to wait for Redis when it is connected to, and the longest pause before the next try. */
const CONNECT_TIMEOUT_MS = 2000;
const LONGEST_PAUSE_MS = 2000;

/** The connection to the Redis of `REDIS_URL`, if there is one: it comes and goes without anybody waiting for it. */
@Injectable()
export class RedisConnection implements OnApplicationShutdown {
  constructor(readonly client: Redis | undefined) {}

  /** @throws SettingError where the package is missing */
  static async of({ redisUrl, rates }: Environment): Promise<RedisConnection> {
    // without limits there is nothing to share
    return new RedisConnection(rates && redisUrl && (await connect(redisUrl)));
  }

  onApplicationShutdown(): void {
    this.client?.disconnect();
  }
}

async function connect(url: URL): Promise<Redis> {
  const Client = await redisClass();
  const client = new Client(url.href, {
    connectTimeout: CONNECT_TIMEOUT_MS,
    // what cannot be asked now is not asked later
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => Math.min(attempt * 100, LONGEST_PAUSE_MS),
  });
  logFailures(client, url);
  return client;
}

async function redisClass(): Promise<typeof Redis> {
  try {
    return (await import('ioredis')).Redis;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new SettingError(
      'REDIS_URL needs the package ioredis, which is not installed: write npm install ioredis@5, or leave REDIS_URL out.',
    );
  }
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
