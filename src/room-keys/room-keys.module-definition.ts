import { ConfigurableModuleBuilder, type Provider } from '@nestjs/common';
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
    providers: [...(definition.providers ?? []), hostDataSource(dataSource)],
  }))
  .build();

/** The host's DataSource, under the token that @nestjs/typeorm gives it. */
function hostDataSource(name: string | undefined): Provider {
  if (name !== undefined && (typeof name !== 'string' || name === '')) {
    throw new Error(
      "RoomKeysModule: 'dataSource' must be the name of a DataSource: write 'keys', or leave it out for the one without a name.",
    );
  }
  const hasName = name !== undefined && name !== 'default';
  return {
    provide: ROOM_KEYS_DATA_SOURCE,
    useFactory: (dataSource: DataSource | undefined) => {
      if (dataSource) return dataSource;
      throw new Error(
        hasName
          ? `RoomKeysModule: there is no DataSource with the name '${name}': import TypeOrmModule.forRoot({ name: '${name}', … }) beside it.`
          : 'RoomKeysModule: there is no DataSource: import TypeOrmModule.forRoot({ … }) beside it.',
      );
    },
    inject: [{ token: hasName ? `${name}DataSource` : DataSource, optional: true }],
  };
}
