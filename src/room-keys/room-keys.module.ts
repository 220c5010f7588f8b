import { Inject, Module, type OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { DataSource } from 'typeorm';
import { AccessTokenGuard } from './http/access-token.guard.js';
import { BackupKeysController, LegacyBackupKeysController } from './http/backup-keys.controller.js';
import {
  BackupVersionsController,
  LegacyBackupVersionsController,
} from './http/backup-versions.controller.js';
import { entrance, installEntrance, routesOf } from './http/entrance.js';
import { checkOptions } from './options-check.js';
import {
  ROOM_KEYS_DATA_SOURCE,
  ROOM_KEYS_OPTIONS,
  RoomKeysModuleClass,
} from './room-keys.module-definition.js';
import type { RoomKeysOptions } from './room-keys-options.interface.js';
import { RoomKeysService } from './room-keys.service.js';
import { RetiredKeysSweeper } from './storage/retired-keys.sweeper.js';
import { RoomKeysRepository } from './storage/room-keys.repository.js';
import { StorageCheck } from './storage/storage-check.js';

const DEFAULT_SWEEP_INTERVAL_MS = 60_000;

/**
 * Matrix's server-side key backup: the 14 operations under `/_matrix/client/v3/room_keys/`, on the
 * host's TypeORM DataSource. Import it once, with `forRoot` or `forRootAsync`.
 *
 * @publicApi
 */
@Module({
  controllers: [
    BackupVersionsController,
    BackupKeysController,
    LegacyBackupVersionsController,
    LegacyBackupKeysController,
  ],
  providers: [
    {
      provide: RoomKeysRepository,
      useFactory: (dataSource: DataSource) => new RoomKeysRepository(dataSource),
      inject: [ROOM_KEYS_DATA_SOURCE],
    },
    {
      provide: RetiredKeysSweeper,
      useFactory: (repository: RoomKeysRepository, { sweepIntervalMs }: RoomKeysOptions) =>
        new RetiredKeysSweeper(repository, sweepIntervalMs ?? DEFAULT_SWEEP_INTERVAL_MS),
      inject: [RoomKeysRepository, ROOM_KEYS_OPTIONS],
    },
    {
      provide: StorageCheck,
      useFactory: (dataSource: DataSource) => new StorageCheck(dataSource),
      inject: [ROOM_KEYS_DATA_SOURCE],
    },
    AccessTokenGuard,
    RoomKeysService,
  ],
  exports: [RoomKeysService],
})
export class RoomKeysModule extends RoomKeysModuleClass implements OnModuleInit {
  constructor(
    @Inject(ROOM_KEYS_OPTIONS) options: RoomKeysOptions,
    private readonly adapterHost: HttpAdapterHost,
  ) {
    super();
    checkOptions(options);
  }

  onModuleInit(): void {
    // none in an application context without HTTP, such as a script that uses RoomKeysService
    const adapter = this.adapterHost.httpAdapter as HttpAdapterHost['httpAdapter'] | undefined;
    if (!adapter) return;
    if (adapter.getType() !== 'express') {
      throw new Error(
        'RoomKeysModule needs @nestjs/platform-express: create the application with it.',
      );
    }
    installEntrance(adapter, entrance(routesOf([BackupVersionsController, BackupKeysController])));
  }
}
