import { type DynamicModule, Inject, Module, type NestModule } from '@nestjs/common';
import { MODULE_PATH } from '@nestjs/common/constants.js';
import { ApplicationConfig, HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import { mapToExcludeRoute } from '@nestjs/core/middleware/utils.js';
import type { DataSource } from 'typeorm';
import { BodyMemoryLimit } from './http/body-memory-limit.js';
import { roomKeysControllers, routesOf } from './http/controllers.js';
import { AccessTokenGuard, RateLimitGuard } from './http/guards.js';
import {
  roomKeysMiddleware,
  installMiddleware,
  PATH_PREFIXES,
} from './http/room-keys.middleware.js';
import { observerOf } from './observer.js';
import { checkOptions } from './options-check.js';
import { type OPTIONS_TYPE, RoomKeysModuleClass } from './room-keys.module-definition.js';
import {
  retentionOf,
  ROOM_KEYS_DATA_SOURCE,
  ROOM_KEYS_OPTIONS,
  type RoomKeysOptions,
} from './room-keys-options.interface.js';
import { Removals } from './removals.js';
import { RoomKeysMaintenance } from '../operations/room-keys.maintenance.js';
import { RoomKeysService } from './room-keys.service.js';
import { HistoryRepository } from './storage/backup-history.js';
import { RetiredKeysSweeper } from './storage/retired-keys.sweeper.js';
import { StorageCheck } from './storage/storage-check.js';
import { type Conflict, Database } from './storage/database/database.js';
import { RetiredKeysRepository } from './storage/retired-keys.repository.js';
import { RoomKeysRepository } from './storage/room-keys.repository.js';

const DEFAULT_SWEEP_INTERVAL_MS = 60_000;

function conflictsOf(options: RoomKeysOptions): ((conflict: Conflict) => void) | undefined {
  const observe = observerOf(options);
  return observe && ((conflict) => observe({ type: 'conflict', ...conflict }));
}

/** Removes expired entries of the history, a few at a time; all of them if it is disabled. */
function trimmingOf(dataSource: DataSource, options: RoomKeysOptions) {
  const history = new HistoryRepository(dataSource);
  return (limit: number) => history.trim(retentionOf(options).historyDays, limit);
}

/**
 * Matrix's server-side key backup: the 14 operations under `/_matrix/client/v3/room_keys/`, on the
 * host's TypeORM DataSource. Import it once, with `forRoot` or `forRootAsync`.
 *
 * @publicApi
 */
@Module({
  providers: [
    // forRoot and forRootAsync override these: they report an import of the bare class
    { provide: ROOM_KEYS_OPTIONS, useFactory: checkOptions },
    { provide: ROOM_KEYS_DATA_SOURCE, useFactory: checkOptions },
    {
      provide: RoomKeysRepository,
      useFactory: (dataSource: DataSource, options: RoomKeysOptions) => {
        if (options.databaseConnections !== undefined) {
          Database.of(dataSource).limitConnections(options.databaseConnections);
        }
        return new RoomKeysRepository(dataSource, conflictsOf(options), options);
      },
      inject: [ROOM_KEYS_DATA_SOURCE, ROOM_KEYS_OPTIONS],
    },
    {
      provide: RetiredKeysSweeper,
      useFactory: (dataSource: DataSource, options: RoomKeysOptions) =>
        new RetiredKeysSweeper(
          new RetiredKeysRepository(dataSource, conflictsOf(options)),
          options.sweepIntervalMs ?? DEFAULT_SWEEP_INTERVAL_MS,
          observerOf(options),
          trimmingOf(dataSource, options),
        ),
      inject: [ROOM_KEYS_DATA_SOURCE, ROOM_KEYS_OPTIONS],
    },
    {
      provide: Removals,
      useFactory: (
        repository: RoomKeysRepository,
        sweeper: RetiredKeysSweeper,
        options: RoomKeysOptions,
      ) => new Removals(repository, sweeper, observerOf(options)),
      inject: [RoomKeysRepository, RetiredKeysSweeper, ROOM_KEYS_OPTIONS],
    },
    {
      provide: StorageCheck,
      useFactory: (dataSource: DataSource) => new StorageCheck(dataSource),
      inject: [ROOM_KEYS_DATA_SOURCE],
    },
    {
      provide: RoomKeysMaintenance,
      useFactory: (dataSource: DataSource, options: RoomKeysOptions, removals: Removals) =>
        new RoomKeysMaintenance(dataSource, options, removals),
      inject: [ROOM_KEYS_DATA_SOURCE, ROOM_KEYS_OPTIONS, Removals],
    },
    {
      provide: BodyMemoryLimit,
      useFactory: (options: RoomKeysOptions) => {
        // it may be created before the module itself, which validates the options
        checkOptions(options);
        return new BodyMemoryLimit(options);
      },
      inject: [ROOM_KEYS_OPTIONS],
    },
    AccessTokenGuard,
    RateLimitGuard,
    RoomKeysService,
  ],
  exports: [RoomKeysService, RoomKeysMaintenance],
})
export class RoomKeysModule extends RoomKeysModuleClass implements NestModule {
  /** @param options the options of the module, and `dataSource`, `decorators` and `securityScheme` */
  static override forRoot(options: typeof OPTIONS_TYPE): DynamicModule {
    // Nest would destructure null before we could report it
    if (typeof options !== 'object' || (options as unknown) === null) checkOptions(options);
    return super.forRoot(options);
  }

  constructor(
    @Inject(ROOM_KEYS_OPTIONS) private readonly options: RoomKeysOptions,
    private readonly adapterHost: HttpAdapterHost,
    applicationConfig: ApplicationConfig,
    private readonly modules: ModulesContainer,
  ) {
    super();
    checkOptions(options);
    leaveOutGlobalPrefix(applicationConfig);
  }

  /** Called by Nest when the application is initialized, before it registers routes. */
  configure(): void {
    // with request-scoped options Nest creates an instance per request, and calls this on none of them
    if ((this.adapterHost as HttpAdapterHost | undefined) === undefined) {
      throw new Error(
        'RoomKeysModule: its options depend on a request-scoped provider, but are needed when the application starts. Inject only providers of the default scope.',
      );
    }
    // none in an application context without HTTP, such as a script that uses RoomKeysService
    const adapter = this.adapterHost.httpAdapter as HttpAdapterHost['httpAdapter'] | undefined;
    if (!adapter) return;
    const path = Reflect.getMetadata(MODULE_PATH + this.modules.applicationId, RoomKeysModule) as
      string | undefined;
    if (path !== undefined) {
      throw new Error(
        `RoomKeysModule: RouterModule moves its routes below '${path}', where clients do not find them. Remove RoomKeysModule from RouterModule.register.`,
      );
    }
    if (adapter.getType() !== 'express') {
      throw new Error(
        'RoomKeysModule requires @nestjs/platform-express. Create the application with it.',
      );
    }
    const routes = routesOf(roomKeysControllers);
    installMiddleware(adapter, roomKeysMiddleware(routes, observerOf(this.options)));
  }
}

/**
 * Our paths are fixed by Matrix; a global prefix of the host must not change them. The host may set it
 * after this, and create its OpenAPI document before the routes are registered.
 */
function leaveOutGlobalPrefix(config: ApplicationConfig): void {
  const ours = mapToExcludeRoute([`${PATH_PREFIXES[0]}/*path`]);
  const set = config.setGlobalPrefixOptions.bind(config);
  config.setGlobalPrefixOptions = (options) => {
    set({ ...options, exclude: [...(options.exclude ?? []), ...ours] });
  };
  config.setGlobalPrefixOptions(config.getGlobalPrefixOptions());
}
