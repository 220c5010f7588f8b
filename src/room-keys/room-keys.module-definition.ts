import { ConfigurableModuleBuilder, type Provider } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { controllersWith } from './http/controllers.js';
import { documentControllers } from './http/documentation.js';
import {
  ROOM_KEYS_DATA_SOURCE,
  ROOM_KEYS_OPTIONS,
  type RoomKeysExtras,
  type RoomKeysOptions,
} from './room-keys-options.interface.js';

/** Injection token of a provider without a value: it documents the controllers before an OpenAPI document can be created. */
const DOCUMENTATION = Symbol('ROOM_KEYS_DOCUMENTATION');

export const {
  ConfigurableModuleClass: RoomKeysModuleClass,
  OPTIONS_TYPE,
  ASYNC_OPTIONS_TYPE,
} = new ConfigurableModuleBuilder<RoomKeysOptions>({
  optionsInjectionToken: ROOM_KEYS_OPTIONS,
})
  .setClassMethodName('forRoot')
  .setFactoryMethodName('createRoomKeysOptions')
  // named here, so that Nest takes them out of the options
  .setExtras<RoomKeysExtras>(
    { dataSource: undefined, decorators: undefined, securityScheme: undefined },
    (definition, { dataSource, decorators, securityScheme }) => {
      checkExtras(decorators, securityScheme);
      const controllers = controllersWith(decorators ?? []);
      const documentation: Provider = {
        provide: DOCUMENTATION,
        useFactory: () => documentControllers(controllers, securityScheme),
      };
      const providers = [hostDataSource(dataSource), documentation];
      return {
        ...definition,
        controllers,
        providers: [...(definition.providers ?? []), ...providers],
      };
    },
  )
  .build();

function checkExtras(decorators: unknown = [], securityScheme: unknown = 'bearer'): void {
  if (!Array.isArray(decorators) || decorators.some((one) => typeof one !== 'function')) {
    throw new Error(
      "RoomKeysModule: 'decorators' must be a list of class decorators. Set [Public(), SkipThrottle()], or leave it out.",
    );
  }
  if (typeof securityScheme !== 'string' || securityScheme === '') {
    throw new Error(
      "RoomKeysModule: 'securityScheme' must be the name of a security scheme. Set 'bearer', or leave it out.",
    );
  }
}

/** The host's DataSource, under the token that @nestjs/typeorm gives it. */
function hostDataSource(name: string | undefined): Provider {
  if (name !== undefined && (typeof name !== 'string' || name === '')) {
    throw new Error(
      "RoomKeysModule: 'dataSource' must be the name of a DataSource. Set 'keys', or leave it out for the one without a name.",
    );
  }
  const hasName = name !== undefined && name !== 'default';
  return {
    provide: ROOM_KEYS_DATA_SOURCE,
    useFactory: (dataSource: DataSource | undefined) => {
      if (dataSource) return dataSource;
      throw new Error(
        hasName
          ? `RoomKeysModule: there is no DataSource with the name '${name}'. Import TypeOrmModule.forRoot({ name: '${name}', … }) beside it.`
          : 'RoomKeysModule: there is no DataSource. Import TypeOrmModule.forRoot({ … }) beside it.',
      );
    },
    inject: [{ token: hasName ? `${name}DataSource` : DataSource, optional: true }],
  };
}
