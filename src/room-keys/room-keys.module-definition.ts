import { ConfigurableModuleBuilder, type Provider } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { controllersWith } from './http/controllers.js';
import { documentControllers } from './http/documentation.js';
import { checkOptionRules, isFunction, isText, type OptionRule } from './option-rules.js';
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
    (definition, extras) => {
      const { dataSource, decorators, securityScheme } = extras;
      checkOptionRules('RoomKeysModule', { dataSource, decorators, securityScheme }, EXTRAS);
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

const EXTRAS: Record<keyof RoomKeysExtras, OptionRule> = {
  dataSource: [
    isText,
    'the name of a DataSource',
    "'keys', or leave it out for the one without a name",
  ],
  decorators: [
    (value) => Array.isArray(value) && value.every(isFunction),
    'a list of class decorators',
    '[Public(), SkipThrottle()], or leave it out',
  ],
  securityScheme: [isText, 'the name of a security scheme', "'bearer', or leave it out"],
};

/** The host's DataSource, under the token that @nestjs/typeorm gives it. */
function hostDataSource(name: string | undefined): Provider {
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
