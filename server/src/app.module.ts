import { type DynamicModule, Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { TypeOrmModule } from '@nestjs/typeorm';
import { RoomKeysModule } from 'nestjs-room-keys';
import { type RateLimiter, rateLimits } from 'nestjs-room-keys/rate-limits';
import { ConnectionLimit, connectionsWithin, openFilesLimit } from './connection-limit.js';
import { dataSourceOptions, openDatabase } from './database.js';
import { HomeController, SECURITY_SCHEME } from './docs.js';
import type { Environment } from './environment.js';
import { GracefulShutdown } from './graceful-shutdown.js';
import { Dependencies, DiskSpace } from './health/dependencies.js';
import { HealthController } from './health/health.controller.js';
import { ActivityLog } from './logs/activity-log.js';
import { RequestLog } from './logs/request-log.js';
import { Metrics } from './metrics/metrics.js';
import { MetricsServer } from './metrics/metrics-server.js';
import { RedisConnection } from './redis-connection.js';
import { databaseCode } from './start-failure.js';
import { exempting, TOKEN_SERVICE, tokenServiceOf, verifierOf } from './verifier.js';

/** The standalone server: the first host of {@link RoomKeysModule}. */
@Module({})
export class AppModule {
  static with(environment: Environment, redis: RedisConnection): DynamicModule {
    const tokenService = tokenServiceOf(environment);
    const requestLog = new RequestLog(environment.logUserIds);
    const activityLog = new ActivityLog();
    const diskSpace = new DiskSpace();
    const metrics = environment.metricsPort === undefined ? undefined : new Metrics();
    return {
      module: AppModule,
      imports: [
        TypeOrmModule.forRootAsync({
          useFactory: () => ({
            ...dataSourceOptions(environment),
            retryAttempts: 10,
            retryDelay: 3000,
            toRetry: isNotUpYet,
          }),
          dataSourceFactory: () => openDatabase(environment, environment.runMigrations),
        }),
        // it would log every check that finds a service unavailable
        TerminusModule.forRoot({ logger: false }),
        RoomKeysModule.forRoot({
          securityScheme: SECURITY_SCHEME,
          verifyAccessToken: exempting(
            environment.rateLimitExempt,
            verifierOf(environment, tokenService, metrics),
          ),
          allowedAlgorithms: environment.allowedAlgorithms,
          maxBodyBytes: environment.maxBodyBytes,
          maxBodyBytesAtOnce: environment.maxBodyBytesAtOnce,
          bodyIdleTimeoutMs: environment.bodyIdleTimeoutMs,
          // one is left for health checks
          databaseConnections: Math.max(1, environment.databaseConnections - 1),
          limits: environment.limits,
          rateLimit: rateLimitOf(environment, redis),
          keepDeletedDays: environment.keepDeletedDays,
          historyDays: environment.historyDays,
          observe: (event, request) => {
            metrics?.observe(event);
            requestLog.observe(event, request);
            activityLog.observe(event);
            diskSpace.observe(event);
          },
        }),
      ],
      controllers: [HealthController, ...(environment.servesDocs ? [HomeController] : [])],
      providers: [
        Dependencies,
        GracefulShutdown,
        { provide: TOKEN_SERVICE, useValue: tokenService },
        {
          provide: ConnectionLimit,
          useValue: new ConnectionLimit(
            environment.maxConnections ?? connectionsWithin(openFilesLimit()),
          ),
        },
        { provide: RequestLog, useValue: requestLog },
        { provide: DiskSpace, useValue: diskSpace },
        { provide: RedisConnection, useValue: redis },
        ...(metrics ? [{ provide: Metrics, useValue: metrics }, MetricsServer] : []),
      ],
    };
  }
}

function rateLimitOf(
  { rates, workers }: Environment,
  { client }: RedisConnection,
): RateLimiter | false {
  if (!rates) return false;
  return rateLimits({ ...rates, redis: client, cluster: workers > 1 && !client });
}

/** A database that is starting is waited for; a wrong password or name is not. */
function isNotUpYet(error: NodeJS.ErrnoException): boolean {
  return [
    '57P03', // PostgreSQL that recovers
    'ECONNREFUSED',
    'ENOENT', // no socket yet
    'ECONNRESET',
    'ETIMEDOUT',
    'ENOTFOUND',
    'EAI_AGAIN',
    'PROTOCOL_CONNECTION_LOST',
    'ER_UNKNOWN_COM_ERROR', // a node that is about to join its cluster
  ].includes(databaseCode(error));
}
