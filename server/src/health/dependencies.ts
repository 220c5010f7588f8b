import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { type AccessTokenVerifier, MatrixError, type RoomKeysEvent } from 'nestjs-room-keys';
import { RoomKeysMaintenance } from 'nestjs-room-keys/operations';
import { RedisConnection } from '../redis-connection.js';
import { TOKEN_SERVICE } from '../verifier.js';

/** Well below the 5 seconds after which supervisors give up waiting for an answer. */
const TIMEOUT_MS = 3000;
/** Anyone may request our health, so results are cached: dependencies are not checked more often. */
const TTL_MS = 2000;
/** Clients send a refused upload again within 16 seconds: after so long without a failure there is room. */
const FORGOTTEN_AFTER_MS = 60_000;

/** Whether the database has room, by what requests meet: an upload that is stored says so, one that fails says not. */
export class DiskSpace {
  private fullSince: number | undefined;

  observe(event: RoomKeysEvent): void {
    if (event.type === 'request' && event.databaseFailure === 'disk-full')
      this.fullSince = performance.now();
    if (event.type === 'keys' && event.added > 0) this.fullSince = undefined;
  }

  get isFull(): boolean {
    return this.fullSince !== undefined && performance.now() - this.fullSince < FORGOTTEN_AFTER_MS;
  }
}

/**
 * The services that this one needs. Without its database it can do nothing, and is not ready. While
 * tokens cannot be verified, it is degraded: it still serves cached tokens and answers others with a
 * Matrix error to try again later, which a proxy without a server could not. It is also degraded
 * without the Redis through which processes share request limits.
 */
@Injectable()
export class Dependencies {
  private readonly logger = new Logger('Health');
  private readonly away = new Set<string>();
  /** A token of no user. */
  private readonly token = randomBytes(32).toString('base64url');

  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly maintenance: RoomKeysMaintenance,
    @Inject(TOKEN_SERVICE) private readonly tokenService: AccessTokenVerifier | undefined,
    private readonly redis: RedisConnection,
    private readonly diskSpace: DiskSpace,
  ) {}

  /** The state of each dependency: up; down, if it is required; otherwise degraded. */
  checks(): (() => Promise<HealthIndicatorResult>)[] {
    const checks = [async () => this.check('database', () => this.maintenance.ping(TIMEOUT_MS))];
    if (this.tokenService) checks.push(() => this.optional('verifier', () => this.askVerifier()));
    const { client } = this.redis;
    if (client) checks.push(() => this.optional('redis', () => client.ping()));
    // only as long as it lasts; this needs no check
    if (this.diskSpace.isFull)
      checks.push(() =>
        Promise.resolve({ disk: { status: 'degraded', message: 'is full, uploads fail' } }),
      );
    return checks;
  }

  /** Of each, by its name, whether it can be used. */
  async up(): Promise<Record<string, boolean>> {
    const results = await Promise.all(this.checks().map((check) => check()));
    return Object.fromEntries(
      results
        .flatMap((result) => Object.entries(result))
        .filter(([name]) => name !== 'disk')
        .map(([name, { status }]) => [name, status === 'up']),
    );
  }

  private check(name: string, probe: () => Promise<unknown>) {
    return this.indicators
      .check(name)
      .attempt(() => this.watched(name, probe))
      .withTimeout(TIMEOUT_MS)
      .cacheFor(TTL_MS);
  }

  /** What can be done without for a while. */
  private async optional(
    name: string,
    probe: () => Promise<unknown>,
  ): Promise<HealthIndicatorResult> {
    const result = await this.check(name, probe);
    return result[name]?.status === 'up'
      ? result
      : { [name]: { ...result[name], status: 'degraded' } };
  }

  /** Verifies a token of no user: a verifier that reports it as unknown works. */
  private async askVerifier(): Promise<void> {
    try {
      await this.tokenService?.(this.token, { url: '/' } as IncomingMessage);
    } catch (error) {
      if (!(error instanceof MatrixError) || error.getStatus() >= 500) throw error;
    }
  }

  /** Logs when a service fails and when it recovers; the response contains no reason. */
  private async watched(name: string, probe: () => Promise<unknown>): Promise<void> {
    try {
      await probe();
      if (this.away.delete(name)) this.logger.log(`The ${name} answers again`);
    } catch (error) {
      if (!this.away.has(name)) this.logger.warn(`The ${name} does not answer: ${reasonOf(error)}`);
      this.away.add(name);
      throw new Error('does not answer', { cause: error });
    }
  }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}
