import type { AddressInfo } from 'node:net';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import {
  type AccessTokenVerifier,
  type RoomKeysExtras,
  RoomKeysModule,
  type RoomKeysOptions,
  roomKeysEntities,
  roomKeysMigrations,
} from '../../src/index.js';
import { keepIdleConnections } from './idle-connections.js';
import { MatrixClient } from './matrix-client.js';
import type { TestDatabase } from './databases.js';

/** A host of the module, serving on a port of its own. */
export interface TestApplication {
  /** Such as `http://127.0.0.1:40123`. */
  url: string;
  app: NestExpressApplication;
  dataSource: DataSource;
  /** A client with the token of a user: `alice` is `@alice:hs1`, `alice/PHONE` a device of hers. */
  client: (userAndDevice: string) => MatrixClient;
  close: () => Promise<void>;
}

/** Tokens say whose they are: `alice`, `alice/PHONE`, `guest-zoe`; `nobody` is unknown, `down` fails. */
export const verifyAccessToken: AccessTokenVerifier = (token) => {
  if (token.startsWith('nobody')) return null;
  if (token === 'down') throw new Error('connect ECONNREFUSED 127.0.0.1:8008');
  const [user = '', deviceId] = token.split('/');
  return { userId: `@${user}:hs1`, deviceId, isGuest: user.startsWith('guest-') };
};

/** Starts a minimal host on a database whose tables it creates. */
export async function startApplication(
  database: TestDatabase,
  options: Partial<RoomKeysOptions> & RoomKeysExtras = {},
  migrationsRun = true,
): Promise<TestApplication> {
  @Module({
    imports: [
      TypeOrmModule.forRoot({
        ...database.dataSourceOptions,
        entities: roomKeysEntities(database.dataSourceOptions.type),
        migrations: roomKeysMigrations,
        migrationsRun,
        retryAttempts: 0,
      }),
      RoomKeysModule.forRoot({ verifyAccessToken, sweepIntervalMs: 0, ...options }),
    ],
  })
  class HostModule {}

  const app = await NestFactory.create<NestExpressApplication>(HostModule, {
    logger: ['fatal'],
    abortOnError: false,
  });
  keepIdleConnections(app);
  try {
    await app.listen(0, '127.0.0.1');
  } catch (error) {
    await app.close();
    throw error;
  }
  const { port } = app.getHttpServer().address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    app,
    dataSource: app.get(DataSource),
    client: (userAndDevice) => new MatrixClient(url, userAndDevice),
    close: () => app.close(),
  };
}
