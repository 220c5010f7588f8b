import { type DynamicModule, Module } from '@nestjs/common';
import type { Environment } from './environment.js';

/** The settings from the environment, as a provider. */
export class Settings implements Pick<Environment, 'serverName' | 'adminToken'> {
  constructor(
    readonly serverName: string,
    readonly adminToken: string,
  ) {}
}

@Module({})
export class SettingsModule {
  static with({ serverName, adminToken }: Environment): DynamicModule {
    return {
      module: SettingsModule,
      global: true,
      providers: [{ provide: Settings, useValue: new Settings(serverName, adminToken) }],
      exports: [Settings],
    };
  }
}
