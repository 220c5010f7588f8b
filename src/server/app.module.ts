import { type DynamicModule, Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  type AccessTokenVerifier,
  developmentTokens,
  firstKnown,
  homeserverTokens,
  introspectedTokens,
  remembered,
  RoomKeysModule,
} from '../index.js';
import { dataSourceOptions, openDatabase } from './database.js';
import type { Environment } from './environment.js';
import { GracefulShutdown } from './graceful-shutdown.js';
import { HealthController } from './health.controller.js';
import { HomeController } from './home.controller.js';

/** The standalone server: the first host of {@link RoomKeysModule}. */
@Module({})
export class AppModule {
  static with(environment: Environment): DynamicModule {
    const options = dataSourceOptions(environment.databaseUrl);
    return {
      module: AppModule,
      imports: [
        TypeOrmModule.forRootAsync({
          useFactory: () => ({
            ...options,
            retryAttempts: 10,
            retryDelay: 3000,
            toRetry: isNotUpYet,
          }),
          dataSourceFactory: () => openDatabase(options, environment.runMigrations),
        }),
        RoomKeysModule.forRoot({
          verifyAccessToken: verifierOf(environment),
          allowedAlgorithms: environment.allowedAlgorithms,
          maxBodyBytes: environment.maxBodyBytes,
        }),
      ],
      controllers: [HealthController, HomeController],
      providers: [GracefulShutdown],
    };
  }
}

/** Development tokens, if there are any, then the one service that the settings name. */
function verifierOf({
  developmentTokens: tokens,
  homeserver,
  introspection,
  tokenCache,
}: Environment): AccessTokenVerifier {
  const local = developmentTokens(tokens);
  if (homeserver) return firstKnown([local, remembered(homeserverTokens(homeserver), tokenCache)]);
  if (introspection)
    return firstKnown([local, remembered(introspectedTokens(introspection), tokenCache)]);
  return local;
}

/** A database that is starting is waited for; a wrong password or name is not. */
function isNotUpYet(error: { code?: string }): boolean {
  return [
    'ECONNREFUSED',
    'ECONNRESET',
    'ETIMEDOUT',
    'ENOTFOUND',
    'EAI_AGAIN',
    'PROTOCOL_CONNECTION_LOST',
  ].includes(error.code ?? '');
}
