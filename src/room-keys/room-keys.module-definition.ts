import { ConfigurableModuleBuilder } from '@nestjs/common';
import { DataSource } from 'typeorm';
import type { RoomKeysExtras, RoomKeysOptions } from './room-keys-options.interface.js';

/** Injection token of the host's DataSource inside this module. */
export const ROOM_KEYS_DATA_SOURCE = Symbol('ROOM_KEYS_DATA_SOURCE');

export const {
  ConfigurableModuleClass: RoomKeysModuleClass,
  MODULE_OPTIONS_TOKEN: ROOM_KEYS_OPTIONS,
  OPTIONS_TYPE,
  ASYNC_OPTIONS_TYPE,
} = new ConfigurableModuleBuilder<RoomKeysOptions>({ moduleName: 'RoomKeys' })
  .setClassMethodName('forRoot')
  .setFactoryMethodName('createRoomKeysOptions')
  // named here, so that Nest takes it out of the options
  .setExtras<RoomKeysExtras>({ dataSource: undefined }, (definition, { dataSource }) => ({
    ...definition,
    providers: [
      ...(definition.providers ?? []),
      // the tokens under which @nestjs/typeorm provides a DataSource
      {
        provide: ROOM_KEYS_DATA_SOURCE,
        useExisting:
          dataSource === undefined || dataSource === 'default'
            ? DataSource
            : `${dataSource}DataSource`,
      },
    ],
  }))
  .build();
